// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/coro/loop.hpp>

namespace sluice::histories {

/// Runs functions at instants of a loop.
class agenda {
 public:
    explicit agenda(loop& on) noexcept : loop_(on) {}

    [[nodiscard]] time_point now() const noexcept { return loop_.now(); }

    void at(time_point when, std::function<void()> what) {
        if (free_.empty()) {
            all_.push_back(std::make_unique<entry>(*this));
            free_.push_back(all_.back().get());
        }
        entry& e = *free_.back();
        free_.pop_back();
        e.what = std::move(what);
        loop_.arm(e, when);
    }
    void after(duration d, std::function<void()> what) { at(now() + d, std::move(what)); }

    [[nodiscard]] std::size_t pending() const noexcept { return all_.size() - free_.size(); }

 private:
    struct entry : timer {
        explicit entry(agenda& a)
            : timer([](timer& t) noexcept {
                  auto& self = static_cast<entry&>(t);
                  const std::function<void()> run = std::move(self.what);
                  self.owner.free_.push_back(&self);
                  run();
              }),
              owner(a) {}
        agenda& owner;
        std::function<void()> what;
    };

    loop& loop_;
    std::vector<std::unique_ptr<entry>> all_;
    std::vector<entry*> free_;
};

}  // namespace sluice::histories
