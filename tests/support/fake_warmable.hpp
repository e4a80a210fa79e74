// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/demand/warmable.hpp>

namespace sluice::test {

/// A warmable that warms when the test says so, and writes down what it is asked for.
class fake_warmable final : public demand::warmable {
 public:
    explicit fake_warmable(demand::warm_cost c, bool shared = true) : cost_(c), shared_(shared) {}

    demand::warm_cost cost(demand::warm_key) noexcept override { return cost_; }
    void warm(demand::warm_key key, demand::warm_done done) noexcept override {
        log.push_back("warm " + std::to_string(key));
        pending[key] = std::move(done);
        if (on_warm) {
            on_warm(key);
        }
    }
    void cool(demand::warm_key key) noexcept override {
        log.push_back("cool " + std::to_string(key));
    }
    void used(demand::warm_key key) noexcept override {
        log.push_back("used " + std::to_string(key));
    }
    bool shared() const noexcept override { return shared_; }

    void set_cost(demand::warm_cost c) { cost_ = c; }
    void finish(demand::warm_key key, absl::Status status = absl::OkStatus()) {
        pending.at(key)(std::move(status));
    }
    std::vector<std::string> take_log() { return std::exchange(log, {}); }

    std::vector<std::string> log;
    std::map<demand::warm_key, demand::warm_done> pending;
    std::function<void(demand::warm_key)> on_warm;

 private:
    demand::warm_cost cost_;
    bool shared_;
};

}  // namespace sluice::test
