// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/kv_prefixes.hpp>

#include <string>
#include <utility>

namespace sluice::demand {
namespace {

// Of the seconds expected for a block.
constexpr double least_of_a_load = 0.05;
constexpr double newest_share = 0.1;  // of a load in what is learned

}  // namespace

kv_prefixes::kv_prefixes(pipeline& into, const loop& clock, const kv_prefixes_options& options)
    : into_(into), clock_(clock), options_(options), block_s_(options.block_s) {}

absl::Status kv_prefixes::define(warm_key key, std::span<const block_key> blocks) {
    if (blocks.empty() || options_.groups == 0 || blocks.size() % options_.groups != 0) {
        return absl::InvalidArgumentError("prefix " + std::to_string(key) + ": " +
                                          std::to_string(blocks.size()) + " block keys for " +
                                          std::to_string(options_.groups) +
                                          " groups; give every group as many, and one at least");
    }
    const std::lock_guard lock(mutex_);
    prefixes_[key].assign(blocks.begin(), blocks.end());
    return absl::OkStatus();
}

void kv_prefixes::remove(warm_key key) {
    const std::lock_guard lock(mutex_);
    prefixes_.erase(key);
}

std::size_t kv_prefixes::loading() const {
    const std::lock_guard lock(mutex_);
    return loads_.size();
}

double kv_prefixes::block_seconds() const {
    const std::lock_guard lock(mutex_);
    return block_s_;
}

warm_cost kv_prefixes::cost(warm_key key) noexcept {
    const std::lock_guard lock(mutex_);
    const auto known = prefixes_.find(key);
    if (known == prefixes_.end()) {
        return {};
    }
    const auto blocks = static_cast<double>(known->second.size());
    const double seconds = options_.prefix_s + block_s_ * blocks;
    return {seconds, seconds, options_.block_hold * blocks};
}

void kv_prefixes::warm(warm_key key, warm_done done) noexcept {
    absl::Status failed;
    {
        // Held while it is submitted, so that its outcome is not taken before it is known.
        const std::lock_guard lock(mutex_);
        const auto known = prefixes_.find(key);
        if (known == prefixes_.end()) {
            failed = absl::NotFoundError("prefix " + std::to_string(key) + " is not defined");
        } else {
            request_spec spec;
            spec.keys = known->second;
            spec.prewarm = true;
            spec.user = this;
            const absl::StatusOr<request_handle> submitted = into_.submit(spec);
            if (submitted.ok()) {
                loads_[*submitted] = {key, clock_.now(), std::move(done)};
                return;
            }
            failed = submitted.status();
        }
    }
    done(failed);
}

void kv_prefixes::cool(warm_key key) noexcept {
    std::vector<request_handle> stopped;
    {
        const std::lock_guard lock(mutex_);
        for (auto& [handle, l] : loads_) {
            if (l.key == key) {
                l.done = {};
                stopped.push_back(handle);
            }
        }
    }
    for (const request_handle h : stopped) {
        (void)into_.cancel(h);  // has had its outcome, then
    }
}

bool kv_prefixes::take(const request_event& event) {
    if (event.user != this) {
        return false;
    }
    if (!is_outcome(event.kind)) {
        return true;
    }
    warm_done done;
    {
        const std::lock_guard lock(mutex_);
        const auto known = loads_.find(event.request);
        if (known == loads_.end()) {
            return true;
        }
        if (event.kind == event_kind::ready && event.blocks > 0) {
            const double seconds = to_seconds(clock_.now() - known->second.since);
            const double block = (seconds - options_.prefix_s) / event.blocks;
            // What takes next to nothing was near already, and says nothing about loads.
            if (block > block_s_ * least_of_a_load) {
                block_s_ += newest_share * (block - block_s_);
            }
        }
        done = std::move(known->second.done);
        loads_.erase(known);
    }
    if (event.kind == event_kind::ready) {
        done(event.blocks > 0 ? absl::OkStatus()
                              : absl::NotFoundError("no block of the prefix is cached, or there "
                                                    "is no memory for any"));
    } else {
        done(event.status.ok() ? absl::CancelledError("the load was cancelled") : event.status);
    }
    return true;
}

}  // namespace sluice::demand
