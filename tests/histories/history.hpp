// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sim/copy_engine.hpp>
#include <sluice/sim/iteration_engine.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/network.hpp>

namespace sluice::histories {

/// The seams at which a fault can be planted.
enum class seam : std::uint8_t { lookup, get, put, copy_in, copy_out, stage, compute };

enum class fault_kind : std::uint8_t {
    delay,    ///< takes `extra` longer, then ends as it would have
    miss,     ///< kNotFound
    fail,     ///< kUnavailable, kInternal
    expired,  ///< kDeadlineExceeded
    corrupt,  ///< gets: garbage and kDataLoss; the store drops its copy
    hang,     ///< stores: ends only when aborted, and then `extra` later
    no_room,  ///< puts: kResourceExhausted
    lie_yes,  ///< lookups: says that everything is there
    lie_no,   ///< lookups: says that nothing is there
};

/// What goes wrong with one operation: the `nth` at this seam with this key. Keys are those of
/// blocks; at lookup and compute the number of the request.
struct fault {
    seam at = seam::get;
    std::uint64_t key = 0;
    std::uint32_t nth = 0;
    fault_kind kind = fault_kind::delay;
    duration extra{0};
};

/// How long the operations of a seam take. With jitter they complete out of order.
struct timing {
    duration latency{0};
    double ns_per_byte = 0;  ///< one after the other
    duration jitter{0};      ///< up to this much more
};

struct group_config {
    hit_rule rule = hit_rule::all_blocks;
    std::uint32_t last_n = 0;
    std::uint32_t slots = 1;
    std::vector<std::uint32_t> pieces;  ///< bytes
    bool together = false;  ///< the pieces of a slot lie side by side; else each has its own array
};

enum class cost_kind : std::uint8_t { fixed, learning, hostile };

/// When the engine binds pages.
enum class bind_when : std::uint8_t { asked, early, never };

/// An application's number that is none.
inline constexpr std::uint32_t no_app = 7;

struct request_plan {
    std::vector<std::uint32_t> ids;  ///< of its blocks; the same in every group
    std::uint32_t extra_tokens = 1;  ///< behind the full blocks
    std::uint32_t more_pages = 0;    ///< for what will be generated
    std::uint32_t resident = 0;
    std::uint32_t max_load = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t min_query = 1;
    duration waited{0};    ///< it arrived that long before it was submitted
    duration deadline{0};  ///< after the arrival; 0: none
    std::int32_t priority = 0;
    std::uint32_t tenant = 0;
    double weight = 1;
    duration load_timeout{0};
    bool write_back = true;
    bool prewarm = false;
    std::uint32_t app = no_app;  ///< that it is a part of, if that has begun
    // What the engine does with it.
    bind_when bind = bind_when::asked;
    duration bind_after{0};
    bool bind_twice = false;
    bool hole = false;  ///< one page is missing
    duration compute_takes{0};
    bool reports_compute = true;
    duration release_after{0};
};

enum class action_kind : std::uint8_t {
    submit,
    cancel,
    release,
    poke,      ///< calls with handles that are stale, or at the wrong time
    forget,    ///< the store drops a block
    remember,  ///< the store gets a block
    close,
    app,  ///< an event of an application
};

struct action {
    duration at{0};
    action_kind kind = action_kind::submit;
    std::uint64_t what = 0;  ///< number of a request, a block's key, or `app_event::packed`
};

enum class app_verb : std::uint8_t { begin, begin_unit, progress, end_unit, end, end_incomplete };

/// An event of one of a few applications; most come in an order that can be, some do not.
struct app_event {
    std::uint32_t app = 0;  ///< below `no_app`
    app_verb verb = app_verb::begin;
    std::uint32_t value = 0;  ///< tokens

    [[nodiscard]] constexpr std::uint64_t packed() const noexcept {
        return std::uint64_t{value} << 6 | static_cast<std::uint64_t>(verb) << 3 | app;
    }
    static constexpr app_event of(std::uint64_t packed) noexcept {
        return {static_cast<std::uint32_t>(packed & 7), static_cast<app_verb>(packed >> 3 & 7),
                static_cast<std::uint32_t>(packed >> 6)};
    }
};

/// When the clock of a history begins.
inline constexpr time_point beginning{std::chrono::seconds(1)};

enum class simulated_compute : std::uint8_t { as_planned, prefill, iterations };

/// Simulated seams, which then say when operations end, and some of how; planted faults come on
/// top, and timings are not used.
struct simulation {
    sim::network_options network;
    sim::link_options link;
    sim::copy_engine_options copies;
    simulated_compute compute = simulated_compute::as_planned;
    compute_coefficients prefill;
    sim::iteration_options iteration;
};

struct config {
    std::vector<group_config> groups;
    std::uint32_t block_tokens = 16;
    bool library_owned = true;
    bool library_computes = true;
    std::uint32_t concurrent_computes = 1;
    duration compute_per_token{0};
    bool has_store = true;
    std::uint32_t l2_slots = 1;
    reservation_mode reservation = reservation_mode::proactive;
    double write_back_share = 0.125;
    double quarantine_share = 0.5;
    std::string policy = "fifo";
    cost_kind cost = cost_kind::fixed;
    bool split = false;
    bool applications = false;  ///< the pipeline has a tracker
    stage_limits fetch, copy, write_back, stage;
    std::uint32_t max_requests = 64;
    duration soft_timeout{0};
    duration hard_timeout = std::chrono::milliseconds(20);
    duration load_timeout{0};
    load_failure on_load_failure = load_failure::recompute;
    std::uint32_t stages = 0;  ///< of the user's
    std::optional<simulation> simulated;
    timing lookup, get, put, copy_in, copy_out, staging;
    double drift = 0;        ///< the store's bandwidth falls to 1 / (1 + drift) and comes back
    duration poll_every{0};  ///< zero: whenever something has happened
    std::uint32_t poll_batch = 16;
    std::vector<std::uint64_t> stored;  ///< keys in the store at the start
};

/// All that happens to a pipeline from outside: plain data, replayable, and small after shrinking.
struct history {
    std::uint64_t seed = 0;
    config c;
    std::vector<request_plan> requests;
    std::vector<action> actions;  ///< by time
    std::vector<fault> faults;
    bool trace = false;  ///< tell what happens, on stderr
};

/// The history of a seed.
[[nodiscard]] history generate(std::uint64_t seed);

/// The history, readable.
[[nodiscard]] std::string to_text(const history& h);

[[nodiscard]] const char* name_of(seam s) noexcept;

/// Names of blocks: one per group and id.
constexpr std::uint64_t key_value(std::uint32_t group, std::uint32_t id) noexcept {
    return (std::uint64_t{id} << 2 | group) + 1;
}
constexpr std::uint32_t group_of(std::uint64_t key) noexcept {
    return static_cast<std::uint32_t>((key - 1) & 3);
}
constexpr std::uint32_t id_of(std::uint64_t key) noexcept {
    return static_cast<std::uint32_t>((key - 1) >> 2);
}

/// Tokens and pages as `submit` counts them.
constexpr std::uint64_t prompt_tokens(const config& c, const request_plan& r) noexcept {
    return std::uint64_t{c.block_tokens} * r.ids.size() + (r.prewarm ? 0 : r.extra_tokens);
}
constexpr std::uint32_t pages_per_group(const config& c, const request_plan& r) noexcept {
    return static_cast<std::uint32_t>((prompt_tokens(c, r) + c.block_tokens - 1) / c.block_tokens) +
           (r.prewarm ? 0 : r.more_pages);
}

}  // namespace sluice::histories
