// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>

#include "load.hpp"

namespace sluice::experiment {

[[nodiscard]] inline time_point arrival_of(const load_request& r) noexcept {
    return time_point{from_seconds(r.arrival_s)};
}

/// Submits the requests of a load when they arrive. On the loop's thread; both outlive it.
class arrivals : public timer {
 public:
    arrivals(loop& on, const load& requests, std::function<void(std::size_t request)> submit)
        : timer([](timer& t) noexcept { static_cast<arrivals&>(t).arrive(); }),
          loop_(on),
          requests_(requests),
          submit_(std::move(submit)) {
        arm_next();
    }
    ~arrivals() { loop_.disarm(*this); }
    arrivals(const arrivals&) = delete;
    arrivals& operator=(const arrivals&) = delete;

 private:
    void arm_next() {
        if (next_ < requests_.requests.size()) {
            loop_.arm(*this, arrival_of(requests_.requests[next_]));
        }
    }
    void arrive() {
        const time_point now = loop_.now();
        for (; next_ < requests_.requests.size() && arrival_of(requests_.requests[next_]) <= now;
             ++next_) {
            submit_(next_);
        }
        arm_next();
    }

    loop& loop_;
    const load& requests_;
    const std::function<void(std::size_t)> submit_;
    std::size_t next_ = 0;
};

}  // namespace sluice::experiment
