#include "control/captures.h"

#include <openssl/evp.h>

#include <algorithm>
#include <stdexcept>

namespace shunt::control {

using nlohmann::json;

namespace {

std::string base64(const std::vector<std::uint8_t>& octets) {
  std::string text((octets.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock() ends it with a NUL
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), octets.data(),
                                     static_cast<int>(octets.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace

json Captures::start(const state::CaptureFilter& filter, Clock::time_point now) {
  poll(now);
  if (running_ != nullptr) throw std::runtime_error("a capture is running: only one can");
  running_ = std::make_shared<const state::Capture>(filter, owner_.workers);
  fetched_ = now;
  wall_offset_us_ = owner_.wall_offset_us();
  owner_.publish(running_);
  return {{"id", ++id_}};
}

json Captures::fetch(std::uint64_t id, Clock::time_point now) {
  poll(now);
  if (running_ == nullptr || id != id_) throw std::runtime_error("this capture is over");
  fetched_ = now;
  // Each worker's come in order; those of several are mixed as they were looked for.
  const auto earlier = [](const Kept& a, const Kept& b) { return a.time_us < b.time_us; };
  if (!std::is_sorted(kept_.begin(), kept_.end(), earlier))
    std::stable_sort(kept_.begin(), kept_.end(), earlier);
  json frames = json::array();
  for (std::size_t octets = 0; !kept_.empty() && octets < kReplyOctets; kept_.pop_front()) {
    octets += kept_.front().octets.size();
    kept_octets_ -= kept_.front().octets.size();
    frames.push_back(to_json(kept_.front()));
  }
  std::uint64_t looked_at = 0, passed_over = 0, no_room = no_room_;
  for (const auto& ring : running_->rings) {
    looked_at += ring->looked_at();
    passed_over += ring->passed_over();
    no_room += ring->no_room();
  }
  return {{"frames", std::move(frames)},
          {"more", !kept_.empty()},
          {"looked_at", looked_at},
          {"passed_over", passed_over},
          {"no_room", no_room}};
}

json Captures::stop(std::uint64_t id, Clock::time_point now) {
  json last = fetch(id, now);
  end();
  return last;
}

void Captures::poll(Clock::time_point now) {
  if (running_ == nullptr) return;
  for (const auto& ring : running_->rings)
    ring->drain([this](const state::CapturedFrame& frame) { keep(frame); });
  if (now - fetched_ > kAbandoned) end();
}

void Captures::keep(const state::CapturedFrame& frame) {
  if (kept_octets_ + frame.kept > kMostOctets) {
    ++no_room_;
    return;
  }
  kept_octets_ += frame.kept;
  const auto data = frame.data();
  kept_.push_back({frame.time_us, frame.length, frame.port, frame.sent, {data.begin(), data.end()}});
}

void Captures::end() {
  running_.reset();
  kept_.clear();
  kept_octets_ = 0;
  no_room_ = 0;
  owner_.publish(nullptr);
}

json Captures::to_json(const Kept& frame) const {
  return {{"time_us", static_cast<std::int64_t>(frame.time_us) + wall_offset_us_},
          {"port", owner_.port_name(frame.port)},
          {"sent", frame.sent},
          {"length", frame.length},
          {"data", base64(frame.octets)}};
}

}  // namespace shunt::control
