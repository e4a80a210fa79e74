// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include <sluice/demand/prewarmer.hpp>

#include "warm_inbox.hpp"

namespace sluice::demand {

/// All on the loop.
class prewarmer::core final : public detail::warm_inbox::reader {
 public:
    core(loop& on, const prewarmer_options& options);
    ~core();

    absl::StatusOr<need_handle> expect(warmable& what, warm_key key, const need_forecast& forecast);
    absl::Status update(need_handle handle, const need_forecast& forecast);
    warm_state arrived(need_handle handle);
    void withdraw(need_handle handle);
    void refresh();

    [[nodiscard]] warm_state state(need_handle handle) const noexcept;
    [[nodiscard]] time_point next_at(need_handle handle) const noexcept;
    [[nodiscard]] std::uint32_t needs() const noexcept { return live_; }
    [[nodiscard]] std::uint32_t held() const noexcept {
        return static_cast<std::uint32_t>(attempts_.size());
    }
    [[nodiscard]] const prewarmer_stats& stats() const noexcept { return stats_; }

    void warmed(std::uint64_t attempt, const absl::Status& status) noexcept override;

 private:
    struct item;

    struct need : timer {
        explicit need(core& c) noexcept;
        core& owner;
        std::uint32_t index = 0;
        std::uint32_t epoch = 0;
        item* of = nullptr;    // null: free
        bool holding = false;  // its window is open
        time_point base;       // when the forecast was made
        need_forecast forecast;
    };

    struct name {
        warmable* what;
        warm_key key;
        friend bool operator==(const name&, const name&) = default;
    };
    struct name_hash {
        std::size_t operator()(const name& n) const noexcept;
    };

    /// One thing, from the first need of it to the last, or longer while it is held.
    struct item {
        name id{};
        warm_state state = warm_state::cold;
        std::uint64_t attempt = 0;  // 0: not held
        std::uint32_t holders = 0;  // needs whose window is open
        std::vector<need*> needs;
        warm_cost cost;         // as it was when warming began
        time_point since;       // warming began
        time_point warm_at;     // it was over
        time_point waste_from;  // held for nothing since then, if it is given up
        bool redeemed = false;  // somebody has had the use of it
        std::uint32_t failures = 0;
        time_point not_before = time_point::min();
    };

    static void fire(timer& t) noexcept;
    [[nodiscard]] need* find(need_handle handle) const noexcept;
    void plan(need& n);
    void open(need& n, double stop);
    void close_window(need& n);
    void begin_warming(item& i);
    void let_go(item& i);
    bool somebody_keeps(item& i);
    void forget(item& i);
    void remove(need& n);
    [[nodiscard]] prewarm_plan plan_to_keep(const need& n, double at) const noexcept;
    [[nodiscard]] warm_cost cost_of(item& i) const noexcept;
    [[nodiscard]] double elapsed(const need& n) const noexcept;

    loop& loop_;
    prewarmer_options options_;
    std::shared_ptr<detail::warm_inbox> inbox_;
    std::vector<std::unique_ptr<need>> needs_;
    std::vector<std::uint32_t> free_;
    std::uint32_t live_ = 0;
    std::unordered_map<name, std::unique_ptr<item>, name_hash> items_;
    std::unordered_map<std::uint64_t, item*> attempts_;  // of items that are held
    std::uint64_t last_attempt_ = 0;
    prewarmer_stats stats_;
};

}  // namespace sluice::demand
