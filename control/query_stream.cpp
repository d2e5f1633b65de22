#include "control/query_stream.h"

#include <fstrm.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace shunt::control {

// What the library's writer reads and writes by. Its own for UNIX sockets waits for a peer without end.
struct StreamOperations {
  using Clock = QueryStream::Clock;

  static fstrm_res fail(QueryStream& stream, const char* why) {
    stream.error_ = why;
    return fstrm_res_failure;
  }

  static fstrm_res open(void* object) {
    auto& stream = *static_cast<QueryStream*>(object);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    stream.trouble_.where().copy(address.sun_path, sizeof address.sun_path - 1);
    stream.fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stream.fd_ >= 0 &&
        ::connect(stream.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return fstrm_res_success;
    const int error = errno;
    close(object);
    return fail(stream, std::strerror(error));
  }

  static fstrm_res close(void* object) {
    auto& stream = *static_cast<QueryStream*>(object);
    if (stream.fd_ >= 0) ::close(std::exchange(stream.fd_, -1));
    return fstrm_res_success;
  }

  /// False once `until` has passed.
  static bool wait(const QueryStream& stream, short events, Clock::time_point until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd waiting{stream.fd_, events, 0};
    return left > 0 && ::poll(&waiting, 1, static_cast<int>(left)) > 0;
  }

  static fstrm_res read(void* object, void* data, std::size_t count) {
    auto& stream = *static_cast<QueryStream*>(object);
    const auto until = Clock::now() + std::chrono::milliseconds(QuerySink::kWaitMs);
    auto* at = static_cast<char*>(data);
    while (count != 0) {
      if (!wait(stream, POLLIN, until)) return fail(stream, "it doesn't answer");
      const ssize_t octets = ::recv(stream.fd_, at, count, 0);
      if (octets == 0) return fail(stream, "it closed the connection");
      if (octets < 0 && errno != EINTR && errno != EAGAIN) return fail(stream, std::strerror(errno));
      if (octets <= 0) continue;
      at += octets;
      count -= static_cast<std::size_t>(octets);
    }
    return fstrm_res_success;
  }

  static fstrm_res write(void* object, const iovec* pieces, int count) {
    auto& stream = *static_cast<QueryStream*>(object);
    const auto until = Clock::now() + std::chrono::milliseconds(QuerySink::kWaitMs);
    std::vector<iovec> left(pieces, pieces + count);
    msghdr message{};
    message.msg_iov = left.data();
    message.msg_iovlen = left.size();
    while (message.msg_iovlen != 0) {
      const ssize_t octets = ::sendmsg(stream.fd_, &message, MSG_NOSIGNAL);
      if (octets < 0 && errno == EAGAIN) {
        if (!wait(stream, POLLOUT, until)) return fail(stream, "it doesn't read");
        continue;
      }
      if (octets < 0 && errno != EINTR) return fail(stream, std::strerror(errno));
      if (octets > 0) advance(message, static_cast<std::size_t>(octets));
    }
    return fstrm_res_success;
  }

  static void advance(msghdr& message, std::size_t octets) {
    while (message.msg_iovlen != 0 && octets >= message.msg_iov->iov_len) {
      octets -= message.msg_iov->iov_len;
      ++message.msg_iov;
      --message.msg_iovlen;
    }
    if (message.msg_iovlen == 0) return;
    message.msg_iov->iov_base = static_cast<char*>(message.msg_iov->iov_base) + octets;
    message.msg_iov->iov_len -= octets;
  }

  static fstrm_writer* make_writer(QueryStream& stream) {
    fstrm_rdwr* rdwr = fstrm_rdwr_init(&stream);
    fstrm_rdwr_set_open(rdwr, open);
    fstrm_rdwr_set_close(rdwr, close);
    fstrm_rdwr_set_read(rdwr, read);
    fstrm_rdwr_set_write(rdwr, write);
    fstrm_writer_options* options = fstrm_writer_options_init();
    fstrm_writer_options_add_content_type(options, kDnstapContentType.data(), kDnstapContentType.size());
    fstrm_writer* const writer = fstrm_writer_init(options, &rdwr);
    fstrm_writer_options_destroy(&options);
    if (writer == nullptr) fstrm_rdwr_destroy(&rdwr);
    return writer;
  }
};

QueryStream::QueryStream(std::string path, DnstapSource source, QueryLogCounts& counts)
    : source_(std::move(source)), counts_(counts), trouble_(std::move(path)) {}

QueryStream::~QueryStream() {
  if (writer_ == nullptr) return;
  send();
  if (writer_ != nullptr) fstrm_writer_destroy(&writer_);  // not where that failed
}

void QueryStream::take(const QueryRecord& record) {
  if (!connected(Clock::now())) {
    ++counts_.lost;
    return;
  }
  frames_.push_back(query_dnstap(record, source_));
  if (frames_.size() == kBatch) send();
}

void QueryStream::flush() {
  if (connected(Clock::now())) send();
}

bool QueryStream::connected(Clock::time_point now) {
  if (writer_ != nullptr) return true;
  if (now < next_try_) return false;
  writer_ = StreamOperations::make_writer(*this);
  error_ = "it speaks no dnstap";
  if (writer_ == nullptr || fstrm_writer_open(writer_) != fstrm_res_success) {
    failed();
    return false;
  }
  if (trouble_.present()) trouble_.ends(counts_.lost);
  return true;
}

void QueryStream::send() {
  if (frames_.empty()) return;
  std::vector<iovec> pieces;
  pieces.reserve(frames_.size());
  for (std::string& frame : frames_)
    pieces.push_back({frame.data(), frame.size()});
  const bool sent =
      fstrm_writer_writev(writer_, pieces.data(), static_cast<int>(pieces.size())) == fstrm_res_success;
  (sent ? counts_.written : counts_.lost) += frames_.size();
  frames_.clear();
  if (!sent) failed();
}

void QueryStream::failed() {
  const std::string why = error_;  // the farewell fails, too
  if (writer_ != nullptr) fstrm_writer_destroy(&writer_);
  StreamOperations::close(this);
  next_try_ = Clock::now() + kRetry;
  trouble_.begins(why, counts_.lost, Clock::now());
}

}  // namespace shunt::control
