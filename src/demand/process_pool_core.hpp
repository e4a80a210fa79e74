// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/epoll.h>

#include <sluice/demand/process_pool.hpp>

namespace sluice::demand {

/// All on the loop.
class process_pool::core {
 public:
    core(loop& on, const process_pool_options& options) : loop_(on), options_(options) {}
    ~core();

    absl::StatusOr<std::uint32_t> add(worker_kind kind);
    void take(warm_key key, taken then);
    void warm(warm_key key, warm_done done);
    void drop(warm_key key, const absl::Status& why) noexcept;

    [[nodiscard]] const worker_kind* kind_of(warm_key key) const noexcept {
        const std::uint64_t kind = key >> 32;
        return kind < kinds_.size() ? &kinds_[kind] : nullptr;
    }
    [[nodiscard]] std::uint32_t processes() const noexcept {
        return static_cast<std::uint32_t>(workers_.size() + ending_.size());
    }
    [[nodiscard]] std::uint32_t ready() const noexcept {
        return static_cast<std::uint32_t>(std::count_if(
            workers_.begin(), workers_.end(), [](const auto& w) { return w.second->ready; }));
    }

 private:
    struct worker : timer {
        worker(core& c, warm_key k, worker_process p) noexcept;
        core& owner;
        warm_key key;
        worker_process process;
        fd_watch* output = nullptr;  // while its output or end are watched
        fd_watch* exit = nullptr;
        time_point since;
        std::string line;
        bool ready = false;
        bool ending = false;
        bool killed = false;
        warm_done done;
        taken then;

        struct watch : fd_watch {
            watch(worker& w, int fd, function run) noexcept : fd_watch(fd, EPOLLIN, run), of(w) {}
            worker& of;
        };
        std::optional<watch> output_watch;
        std::optional<watch> exit_watch;
    };
    using workers = std::unordered_map<warm_key, std::unique_ptr<worker>>;

    absl::StatusOr<worker*> start(warm_key key);
    void heard(worker& w);
    void became_ready(worker& w);
    void timed_out(worker& w);
    void look_for_end(worker& w);
    void fail(worker& w, const absl::Status& why);
    void begin_end(worker& w);
    void hand_over(worker& w, bool again);
    void watch_end(worker& w);
    void unwatch(worker& w) noexcept;

    loop& loop_;
    process_pool_options options_;
    std::vector<worker_kind> kinds_;
    workers workers_;  // starting or ready
    std::vector<std::unique_ptr<worker>> ending_;
};

}  // namespace sluice::demand
