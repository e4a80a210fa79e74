// SPDX-License-Identifier: Apache-2.0
#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace sluice::experiment {

absl::Status in_parallel(unsigned jobs, std::size_t count, const std::function<void()>& step,
                         const std::function<absl::Status(std::size_t)>& work) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::size_t worst = count;
    absl::Status status;
    const auto loop = [&] {
        for (std::size_t i = next++; i < count && !failed; i = next++) {
            absl::Status one = work(i);
            const std::scoped_lock lock(mutex);
            if (!one.ok()) {
                failed = true;
                if (i < worst) {
                    worst = i;
                    status = std::move(one);
                }
            } else if (step) {
                step();
            }
        }
    };
    {
        std::vector<std::jthread> others;
        for (std::size_t i = 1; i < std::min<std::size_t>(jobs, count); ++i) {
            others.emplace_back(loop);
        }
        loop();
    }
    return status;
}

}  // namespace sluice::experiment
