#include "control/ctl/capture.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <pcap/pcap.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <ostream>
#include <thread>
#include <vector>

#include "control/ctl/client.h"
#include "control/ctl/signals.h"

namespace shunt::control::ctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::chrono::milliseconds kBetweenFetches{100};
constexpr int kSnapLength = 65535;

/// The file, by libpcap.
class File {
 public:
  /// An error's text; empty: it is open.
  std::string open(const std::string& path) {
    pcap_.reset(pcap_open_dead(DLT_EN10MB, kSnapLength));
    if (pcap_ == nullptr) return "no memory";
    dumper_.reset(pcap_dump_open(pcap_.get(), path.c_str()));  // "-": standard output
    return dumper_ == nullptr ? pcap_geterr(pcap_.get()) : "";
  }
  void write(const Json& frame) {
    const auto text = frame.at("data").get<std::string>();
    std::vector<unsigned char> octets(text.size() / 4 * 3);
    const int decoded = EVP_DecodeBlock(octets.data(), reinterpret_cast<const unsigned char*>(text.data()),
                                        static_cast<int>(text.size()));
    if (decoded < 0) throw std::runtime_error("the daemon sent a frame that is no base64");
    // EVP_DecodeBlock() counts the octets that stand for padding, too.
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    const auto time = frame.at("time_us").get<std::int64_t>();
    pcap_pkthdr header{};
    header.ts.tv_sec = time / 1'000'000;
    header.ts.tv_usec = time % 1'000'000;
    header.caplen = static_cast<bpf_u_int32>(static_cast<std::size_t>(decoded) - padding);
    header.len = frame.at("length").get<bpf_u_int32>();
    pcap_dump(reinterpret_cast<u_char*>(dumper_.get()), &header, octets.data());
  }
  /// False where it could not be written.
  bool flush() { return pcap_dump_flush(dumper_.get()) == 0 && ferror(pcap_dump_file(dumper_.get())) == 0; }

 private:
  struct Close {
    void operator()(pcap_t* p) const { pcap_close(p); }
    void operator()(pcap_dumper_t* d) const { pcap_dump_close(d); }
  };
  std::unique_ptr<pcap_t, Close> pcap_;
  std::unique_ptr<pcap_dumper_t, Close> dumper_;
};

nlohmann::json start_request(const CaptureOptions& options) {
  nlohmann::json request{{"command", "capture start"}};
  if (!options.client.empty()) request["client"] = options.client;
  if (!options.name.empty()) request["name"] = options.name;
  return request;
}

std::string summary(const CaptureOptions& options, std::uint64_t written, const Json& last) {
  const auto looked_at = last.value("looked_at", std::uint64_t{0});
  const auto passed_over = last.value("passed_over", std::uint64_t{0});
  const auto no_room = last.value("no_room", std::uint64_t{0});
  std::string text =
      fmt::format("{} frames written to {}; looked at {} of {} that came and went", written,
                  options.file == "-" ? "standard output" : options.file, looked_at, looked_at + passed_over);
  if (no_room != 0) text += fmt::format("; {} more were wanted, but came too fast to be kept", no_room);
  return text;
}

/// The capture as it goes on.
class Session {
 public:
  Session(const CaptureOptions& options, std::ostream& out, std::ostream& err)
      : options_(options), out_(out), err_(err) {}

  int run() {
    const auto started = call(options_.socket, start_request(options_), kTimeout);
    if (!started) return fail(started.error());
    id_ = started->at("id").get<std::uint64_t>();
    // Not before: what an earlier capture wrote must not be lost to one that is refused. The daemon may be
    // asked for one only, so it is told of the end whatever happens.
    const std::string error = file_.open(options_.file);
    const int code = error.empty() ? fetch_all() : fail({kFailed, error});
    if (!stopped_) call(options_.socket, {{"command", "capture stop"}, {"id", id_}}, kTimeout);
    return code;
  }

 private:
  bool enough() const { return options_.count && written_ >= *options_.count; }

  int fetch_all() {
    err_ << "capturing" << (options_.count || options_.seconds ? "" : " until interrupted") << '\n'
         << std::flush;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(options_.seconds.value_or(1e9)));
    for (bool more = false;;) {
      // All that is kept is fetched first: the end forgets what doesn't fit into its reply.
      const bool last = !more && (Signals::came() || Clock::now() >= end);
      const auto piece = call(options_.socket,
                              {{"command", last ? "capture stop" : "capture fetch"}, {"id", id_}}, kTimeout);
      if (!piece) return fail(piece.error());
      stopped_ = last;
      if (!take(*piece)) return fail({kFailed, "cannot write to " + options_.file});
      if (last || enough()) return tell(*piece);
      more = piece->value("more", false);
      if (!more) std::this_thread::sleep_for(std::min<Clock::duration>(kBetweenFetches, end - Clock::now()));
    }
  }
  bool take(const Json& piece) {
    for (const Json& frame : piece.at("frames")) {
      if (enough()) break;
      file_.write(frame);
      ++written_;
    }
    return file_.flush();
  }
  int tell(const Json& last) {
    if (options_.json) {
      out_ << Json{{"frames", written_},
                   {"looked_at", last.at("looked_at")},
                   {"passed_over", last.at("passed_over")},
                   {"no_room", last.at("no_room")}}
                  .dump()
           << '\n';
    } else {
      err_ << summary(options_, written_, last) << '\n';
    }
    return kDone;
  }
  int fail(const CallError& error) {
    err_ << error.text << '\n';
    return error.code;
  }

  const CaptureOptions& options_;
  std::ostream& out_;
  std::ostream& err_;
  File file_;
  std::uint64_t id_ = 0, written_ = 0;
  bool stopped_ = false;
};

}  // namespace

int capture(const CaptureOptions& options, std::ostream& out, std::ostream& err) {
  const Signals signals;
  return Session(options, out, err).run();
}

}  // namespace shunt::control::ctl
