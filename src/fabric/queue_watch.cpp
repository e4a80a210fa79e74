// SPDX-License-Identifier: Apache-2.0
#include "queue_watch.hpp"

#include <algorithm>
#include <chrono>

#include <sys/epoll.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

#include "fi.hpp"

namespace sluice::fabric {
namespace {

using namespace std::chrono_literals;

constexpr int rounds_per_turn = 8;  // then others on the loop have theirs
constexpr duration hot = 100us;     // polled without a pause for so long after something came
constexpr duration first_pause = 20us;
constexpr duration default_patience = 1ms;
// Some providers' descriptors do not wake for a connection that they make lazily.
constexpr duration unproven_pause = 2ms;

}  // namespace

queue_watch::descriptor::descriptor(int fd, queue_watch& w) noexcept
    : fd_watch(fd, EPOLLIN,
               [](fd_watch& self, std::uint32_t) noexcept {
                   queue_watch& owner = *static_cast<descriptor&>(self).owner;
                   owner.proven_ = true;
                   owner.look();
               }),
      owner(&w) {}

queue_watch::alarm::alarm(queue_watch& w) noexcept
    : timer([](timer& self) noexcept { static_cast<alarm&>(self).owner->look(); }), owner(&w) {}

queue_watch::queue_watch(loop& on, drain_function drain, void* self)
    : loop_(on),
      drain_(drain),
      self_(self),
      alarm_(*this),
      turn_(
          on,
          [](void* w) noexcept {
              auto& me = *static_cast<queue_watch*>(w);
              if (me.running_) {
                  me.look();
              }
          },
          this),
      patience_(default_patience) {}

void queue_watch::look_after(duration pause) noexcept {
    if (running_) {
        loop_.arm(alarm_, loop_.now() + pause);
    }
}

absl::Status queue_watch::start(fid_fabric* fabric, fid* queue, bool has_descriptor) {
    stop();
    fabric_ = fabric;
    queue_ = queue;
    int fd = -1;
    if (has_descriptor && fi_control(queue, FI_GETWAIT, &fd) == 0 && fd >= 0) {
        descriptor_.emplace(fd, *this);
        if (absl::Status status = loop_.watch(*descriptor_); !status.ok()) {
            descriptor_.reset();
            return status;
        }
    }
    running_ = true;
    quiet_since_ = loop_.now();
    look_again();
    return absl::OkStatus();
}

void queue_watch::stop() noexcept {
    if (!running_) {
        return;
    }
    running_ = false;
    loop_.disarm(alarm_);
    if (descriptor_) {
        loop_.unwatch(*descriptor_);
        descriptor_.reset();
    }
}

void queue_watch::expect(bool something) noexcept {
    if (something == expecting_) {
        return;
    }
    expecting_ = something;
    if (something && running_) {
        quiet_since_ = loop_.now();
        if (!descriptor_ || !proven_) {
            look_again();
        }
    }
}

void queue_watch::nudge() noexcept {
    if (running_) {
        look_again();
    }
}

void queue_watch::look() noexcept {
    if (descriptor_) {
        look_by_descriptor();
    } else {
        look_by_polling();
    }
}

void queue_watch::look_by_descriptor() noexcept {
    for (int i = 0; i < rounds_per_turn; ++i) {
        drain_(self_);
        if (!running_) {
            return;
        }
        if (fi_trywait(fabric_, &queue_, 1) == 0) {
            if (expecting_ && !proven_) {
                loop_.arm(alarm_, loop_.now() + unproven_pause);
            }
            return;
        }
    }
    look_again();
}

void queue_watch::look_by_polling() noexcept {
    const bool came = drain_(self_);
    if (!running_ || !expecting_) {
        return;
    }
    const time_point now = loop_.now();
    if (came) {
        quiet_since_ = now;
    }
    const duration quiet = now - quiet_since_;
    if (quiet < hot) {
        look_again();
    } else {
        loop_.arm(alarm_, now + std::clamp(quiet / 8, first_pause, patience_));
    }
}

void queue_watch::look_again() noexcept { turn_.post(); }

}  // namespace sluice::fabric
