#include "control/https_protocol.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <string>
#include <utility>

#include "dataplane/base/limits.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {

namespace {

// A client that only asks never comes near the end of its budget: a request brings more than the frames
// around it cost. One that resets every request does after some hundred, one that sends nothing else after a
// thousand.
constexpr int kFullBudget = 1000, kRequestBrings = 20;
// What is read costs by its length, too: nghttp2 says nothing of frames that it ignores.
constexpr std::size_t kOctetsForOne = 512;
constexpr std::size_t kMostPings = 100;  // unsent answers to PING and SETTINGS

constexpr std::string_view kWrongVersion =
    "HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\nContent-Length: 40\r\n"
    "Connection: close\r\n\r\nDNS over HTTPS needs HTTP/2 (ALPN \"h2\")\n";

nghttp2_nv field(std::string_view name, std::string_view value) {
  // nghttp2 copies both, and writes to neither.
  const auto octets = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {octets(name), octets(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string_view view_of(const std::uint8_t* octets, std::size_t count) {
  return {reinterpret_cast<const char*>(octets), count};
}

}  // namespace

/// nghttp2 calls these from within added() and output().
struct HttpsProtocol::Callbacks {
  static HttpsProtocol& of(void* user) { return *static_cast<HttpsProtocol*>(user); }

  /// Of each frame, whatever becomes of it; of CONTINUATION, too, which is no frame of its own below.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd*, void* user) {
    of(user).spend(Cost::kFrame);
    return 0;
  }
  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    HttpsProtocol& self = of(user);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (self.finished_) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    auto stream = std::make_unique<Stream>();
    stream->id = frame->hd.stream_id;
    stream->began = Clock::now();
    self.streams_[stream->id] = std::move(stream);
    return 0;
  }
  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_length, const std::uint8_t* value, std::size_t value_length,
                    std::uint8_t, void* user) {
    HttpsProtocol& self = of(user);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (Stream* const stream = self.find(frame->hd.stream_id))
      self.add_field(*stream, view_of(name, name_length), view_of(value, value_length));
    return 0;
  }
  static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                        std::size_t length, void* user) {
    HttpsProtocol& self = of(user);
    if (Stream* const stream = self.find(id)) self.add_data(*stream, {data, length});
    return 0;
  }
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    HttpsProtocol& self = of(user);
    const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) self.spend(Cost::kReset);
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == 0 && !last) self.spend(Cost::kEmptyData);
    if (frame->hd.type == NGHTTP2_GOAWAY) self.parted_ |= frame->goaway.error_code == NGHTTP2_NO_ERROR;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Stream* const stream = self.find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->ended |= last;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      self.head_ended(*stream);
    if (stream->ended) self.request_ended(*stream);
    return 0;
  }
  static int invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    of(user).spend(Cost::kReset);
    return 0;
  }
  /// A response that came before the request's end ends the stream for both sides (RFC 9113 section 8.1).
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_DATA || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const Stream* const stream = of(user).find(frame->hd.stream_id);
    if (stream != nullptr && !stream->ended)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }
  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    of(user).forget(id);
    return 0;
  }
  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user) {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t octets = std::min(room, stream.left());
    std::copy_n(stream.body.begin() + static_cast<std::ptrdiff_t>(stream.sent), octets, to);
    stream.sent += octets;
    of(user).kept_ -= octets;
    if (stream.left() == 0) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(octets);
  }
};

HttpsProtocol::HttpsProtocol(std::string path, std::uint32_t streams, TcpCounters& counters)
    : path_(std::move(path)), most_streams_(streams), counters_(counters), budget_(kFullBudget) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0) {
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, Callbacks::begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame_received);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, Callbacks::invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::stream_closed);
    nghttp2_option_set_max_outbound_ack(options, kMostPings);
    nghttp2_option_set_no_closed_streams(options, 1);
    if (nghttp2_session_server_new2(&session_, callbacks, this, options) != 0) session_ = nullptr;
  }
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  if (session_ == nullptr) fault_ = Fault::kBroken;
}

HttpsProtocol::~HttpsProtocol() {
  nghttp2_session_del(session_);
}

/// Not before the client has spoken, so that one with another protocol gets no frames of ours.
void HttpsProtocol::start() {
  started_ = true;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most_streams_},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeadOctets},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4096},  // no query is larger
  };
  static_assert(kMaxMessage < 4096);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
}

HttpsProtocol::Stream* HttpsProtocol::find(std::int32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

void HttpsProtocol::added(std::size_t octets) {
  if (fault_ != Fault::kNone) return;
  if (!started_) start();
  octets_ += octets;
  budget_ -= static_cast<int>(octets_ / kOctetsForOne);
  octets_ %= kOctetsForOne;
  const ssize_t taken = nghttp2_session_mem_recv(session_, input_.data(), octets);
  if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
    plain_.assign(kWrongVersion.begin(), kWrongVersion.end());
    fault_ = Fault::kBroken;
  } else if (taken == NGHTTP2_ERR_FLOODED || budget_ < 0) {
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
    fault_ = Fault::kFlood;
  } else if (taken < 0) {
    fault_ = Fault::kBroken;
  }
}

void HttpsProtocol::add_field(Stream& stream, std::string_view name, std::string_view value) {
  constexpr std::size_t kOverhead = 32;  // RFC 9113 section 6.5.2
  stream.head_octets += name.size() + value.size() + kOverhead;
  if (stream.head_octets > kMaxHeadOctets) return;
  if (name == ":method") stream.head.method = value;
  if (name == ":path") stream.head.path = value;
  if (name == "content-type") stream.head.content_type = value;
  if (name == "content-length") stream.head.content_length = value;
}

void HttpsProtocol::head_ended(Stream& stream) {
  ++counters_[TcpCounter::requests];
  const RequestHead head = std::exchange(stream.head, {});
  if (stream.head_octets > kMaxHeadOctets) return refuse(stream, 431);
  HeadVerdict verdict = judge_head(head, path_);
  stream.get = head.method == "GET";
  if (verdict.status != 0) return refuse(stream, verdict.status);
  stream.message = std::move(verdict.message);
}

void HttpsProtocol::add_data(Stream& stream, std::span<const std::uint8_t> data) {
  if (stream.judged) return;
  if (stream.get) return refuse(stream, 400);
  if (stream.message.size() + data.size() > kMaxMessage) return refuse(stream, 413);
  stream.message.insert(stream.message.end(), data.begin(), data.end());
}

void HttpsProtocol::request_ended(Stream& stream) {
  if (stream.judged || finished_) return;
  if (stream.message.size() < dns::kHeaderSize) return refuse(stream, 400);
  stream.judged = true;
  budget_ = std::min(kFullBudget, budget_ + kRequestBrings);
  ready_.push_back(stream.id);
}

void HttpsProtocol::refuse(Stream& stream, unsigned status) {
  ++counters_[TcpCounter::requests_bad];
  stream.judged = true;
  const std::string_view text = explain_status(status);
  stream.body.assign(text.begin(), text.end());
  respond(stream, status, "text/plain", 0);
}

StreamProtocol::Next HttpsProtocol::next(Query& query) {
  while (!ready_.empty() && fault_ == Fault::kNone) {
    Stream* const stream = find(ready_.front());
    ready_.pop_front();
    if (stream == nullptr) continue;
    taken_ = std::move(stream->message);
    query = {taken_, static_cast<std::uint32_t>(stream->id)};
    return Next::kQuery;
  }
  return Next::kMore;
}

void HttpsProtocol::respond(Stream& stream, unsigned status, std::string_view type, std::uint32_t max_age) {
  const std::string code = std::to_string(status), length = std::to_string(stream.body.size()),
                    age = "max-age=" + std::to_string(max_age);
  std::array<nghttp2_nv, 5> fields = {field(":status", code), field("content-type", type),
                                      field("content-length", length)};
  std::size_t count = 3;
  if (status == 200) fields[count++] = field("cache-control", age);
  if (status == 405) fields[count++] = field("allow", "GET, POST");
  nghttp2_data_provider body{};
  body.source.ptr = &stream;
  body.read_callback = Callbacks::read_body;
  stream.answered = Clock::now();
  kept_ += stream.body.size();
  if (nghttp2_submit_response(session_, stream.id, fields.data(), count, &body) != 0) {
    kept_ -= stream.left();
    stream.body.clear();
  }
}

void HttpsProtocol::answer(std::uint32_t tag, std::span<const std::uint8_t> message) {
  Stream* const stream = find(static_cast<std::int32_t>(tag));
  if (stream == nullptr || fault_ != Fault::kNone) return;
  stream->body.assign(message.begin(), message.end());
  respond(*stream, 200, "application/dns-message", max_age(message));
}

void HttpsProtocol::drop(std::uint32_t tag) {
  const auto id = static_cast<std::int32_t>(tag);
  if (find(id) != nullptr) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
}

void HttpsProtocol::forget(std::int32_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  kept_ -= found->second->left();
  std::erase(ready_, id);
  streams_.erase(found);
}

void HttpsProtocol::output(std::vector<std::uint8_t>& to) {
  if (!plain_.empty()) {
    to.insert(to.end(), plain_.begin(), plain_.end());
    plain_.clear();
    return;
  }
  if (session_ == nullptr || !started_ || fault_ == Fault::kBroken) return;
  for (;;) {
    const std::uint8_t* frame = nullptr;
    const ssize_t octets = nghttp2_session_mem_send(session_, &frame);
    if (octets < 0) fault_ = Fault::kBroken;
    if (octets <= 0) break;
    to.insert(to.end(), frame, frame + octets);
  }
  // After an error of the client's, or its GOAWAY, there is nothing left to do.
  const bool over = nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (over && !finished_ && fault_ == Fault::kNone) fault_ = parted_ ? Fault::kParted : Fault::kBroken;
}

void HttpsProtocol::finish() {
  finished_ = true;
  if (!started_ || fault_ != Fault::kNone) return;
  // What was not taken may be asked elsewhere.
  for (const auto& [id, stream] : streams_) {
    const bool taken = stream->judged && std::find(ready_.begin(), ready_.end(), id) == ready_.end();
    if (!taken) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
  }
  ready_.clear();
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

std::optional<StreamProtocol::Clock::time_point> HttpsProtocol::incomplete_since() const {
  std::optional<Clock::time_point> oldest;
  for (const auto& [id, stream] : streams_) {
    if (!stream->judged && (!oldest || stream->began < *oldest)) oldest = stream->began;
  }
  return oldest;
}

void HttpsProtocol::excuse() {
  for (const auto& [id, stream] : streams_)
    stream->began = Clock::now();
}

std::optional<StreamProtocol::Clock::time_point> HttpsProtocol::kept_since() const {
  std::optional<Clock::time_point> oldest;
  if (kept_ == 0) return oldest;
  for (const auto& [id, stream] : streams_) {
    if (stream->left() != 0 && (!oldest || stream->answered < *oldest)) oldest = stream->answered;
  }
  return oldest;
}

}  // namespace shunt::control
