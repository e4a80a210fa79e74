// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/base/rank.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/model_set.hpp>

namespace sluice::demand {

struct application_view;

/// An application as it begins.
struct app_spec {
    std::string_view application;  ///< its class: 1 to 256 bytes; one that no model knows is fine
    time_point arrival = never;    ///< `never`: now
    time_point deadline = never;   ///< of its end
    std::uint32_t tenant = 0;
    double tenant_weight = 1;  ///< greater than 0
    void* user = nullptr;      ///< for policies and observers of yours
    /// Seconds of the whole, if they are known (simulations): of all calls; and of the longest path
    /// through them. For the policy `oracle`.
    double known_service_s = std::numeric_limits<double>::quiet_NaN();
    double known_path_s = std::numeric_limits<double>::quiet_NaN();
};

/// A unit as it begins: one call, or calls that run side by side.
struct unit_begin {
    std::string_view unit;  ///< 1 to 256 bytes
    /// What is not "llm" takes time in place of tokens; "env" is a wait that nobody schedules, and
    /// no part of what is expected.
    std::string_view backend = "llm";
    std::uint32_t calls = 1;          ///< at least 1
    std::uint64_t prompt_tokens = 0;  ///< of all calls
    std::uint64_t cached_tokens = 0;  ///< of those: loaded, not computed
    time_point time = never;          ///< `never`: now
};

/// What the calls of a unit have had so far, all together.
struct unit_progress {
    std::uint64_t prompt_tokens = 0;  ///< computed or loaded
    std::uint64_t cached_tokens = 0;  ///< of those: loaded
    std::uint64_t completion_tokens = 0;
};

/// What the calls of a unit have had in the end.
struct unit_end {
    std::uint64_t prompt_tokens = 0;  ///< of all calls; 0: as at its begin
    std::uint64_t cached_tokens = 0;  ///< as well
    std::uint64_t completion_tokens = 0;
    std::uint64_t max_prompt_tokens = 0;      ///< of one call; 0: all calls had the same
    std::uint64_t max_completion_tokens = 0;  ///< as well
    /// Of one call, if it is not "llm"; negative: since its begin.
    double seconds = -1;
    time_point time = never;  ///< `never`: now
};

/// An application at the time of one call of an observer.
struct app_state {
    const application_view& view;
    const observation& seen;  ///< its units so far
    demand_model* model;      ///< of its class; null: there is none
    rank_value rank;
    std::string_view unit;     ///< under way; empty: between two
    std::string_view backend;  ///< of that unit
    time_point since;          ///< its begin, or the end of the last
    bool in_unit;
};

/// Hears of applications: a prewarmer. Called where `refresh` is, after the application is ranked.
class app_observer {
 public:
    virtual ~app_observer() = default;
    /// It has begun, or begun or ended a unit, or made progress, or its rank has changed by itself.
    virtual void changed(const app_state& a, time_point now) noexcept = 0;
    /// The last call for it.
    virtual void ended(app_handle a, time_point now) noexcept = 0;
};

/// Gives ranks: a pipeline, by its policy. Called where `refresh` is, but for `due` and `now`.
class app_ranker {
 public:
    virtual rank_value rank(const application_view& a, time_point now) noexcept = 0;
    /// When its rank next changes although nothing is reported; `never`: it does not.
    virtual time_point next_change(const application_view& a, time_point now) noexcept = 0;
    /// Before its first rank.
    virtual void begun(const application_view& a, time_point now) noexcept = 0;
    /// It has another rank.
    virtual void ranked(app_handle a, rank_value rank) noexcept = 0;
    /// The last call for it.
    virtual void ended(app_handle a, time_point now) noexcept = 0;
    /// `refresh` is to be called soon. Any thread; must not call the tracker.
    virtual void due() noexcept = 0;
    /// Any thread; must not call the tracker.
    [[nodiscard]] virtual time_point now() const noexcept = 0;

 protected:
    ~app_ranker() = default;
};

struct app_tracker_options {
    /// The classes that are known; outlives the tracker, and belongs to where `refresh` is as long
    /// as somebody ranks. Null: the tracker begins with none, and has its own.
    model_set* models = nullptr;
    service_rates rates;  ///< the models get them
    /// How often an application that makes progress is ranked anew.
    duration interval = std::chrono::milliseconds(100);
    /// Runs that have ended become samples of their class.
    bool learn = true;
    std::uint32_t max_applications = 65536;  ///< live ones
};

/// Counters since the tracker was made.
struct app_tracker_stats {
    std::uint32_t live = 0;
    std::uint64_t begun = 0, ended = 0;
    std::uint64_t learned = 0;  ///< runs that became samples
    std::uint64_t ranked = 0;   ///< ranks that changed and were given out
    std::uint64_t refreshed = 0;
    /// \name Events that were refused
    ///@{
    std::uint64_t refused_unknown = 0;  ///< of an application that has ended, or never was
    std::uint64_t refused_order = 0;    ///< a unit that had not begun, or had not ended
    std::uint64_t refused_value = 0;    ///< numbers that cannot be
    std::uint64_t refused_full = 0;     ///< max_applications
    ///@}
    /// \name Applications of which less was known than could be
    ///@{
    std::uint64_t unknown_class = 0;
    std::uint64_t irregular = 0;      ///< an event was refused: from then on by the class's prior
    std::uint64_t unconditioned = 0;  ///< units at which no run of the class had come this way
    ///@}
};

/// Follows applications through their units, and has them ranked.
///
/// An engine, or what stands before it, reports when an application begins and ends, and when its
/// units do. From that, and from the runs of its class, follows what is left of it; a policy makes
/// a rank of this (`policy::rank_application`), which goes to all its requests, and to queues
/// outside by `rank`.
///
/// \par Thread safety
/// Any thread, concurrently, unless it says otherwise. Events are cheap, whatever the number of
/// applications: what they change is worked out where `refresh` is called, which is the pipeline's
/// control loop.
///
/// \par Errors
/// An event that cannot be is refused with a status, counted, and changes nothing, but that its
/// application (if it has one) counts as irregular: what is expected of it is its class's prior,
/// cut by what it has had, and it is not learned from. It is never refused a rank.
class app_tracker {
 public:
    using options = app_tracker_options;

    explicit app_tracker(options o = {});
    app_tracker(const app_tracker&) = delete;
    app_tracker& operator=(const app_tracker&) = delete;
    /// \pre no pipeline has it
    ~app_tracker();

    /// \name Events
    /// kNotFound: it has ended, or never was; kFailedPrecondition: out of order, or no pipeline has
    /// the tracker yet and no time is given; kInvalidArgument: numbers that cannot be.
    ///@{

    /// \return also kResourceExhausted: max_applications
    [[nodiscard]] absl::StatusOr<app_handle> begin(const app_spec& spec);
    absl::Status begin_unit(app_handle a, const unit_begin& unit);
    /// Optional: what the unit has had so far; not less than before. Best in batches, at most every
    /// few milliseconds.
    absl::Status progress(app_handle a, const unit_progress& so_far);
    absl::Status end_unit(app_handle a, const unit_end& unit);
    /// \param complete  it did what its class does; false (it was cancelled, say): not learned from
    absl::Status end(app_handle a, bool complete = true);
    ///@}

    /// A model for a class, in place of one that there is; live applications of the class go by it
    /// from the next refresh on. \pre not null
    void add_model(std::unique_ptr<demand_model> model);

    /// Its last rank; before the first, behind all that have one. For queues outside the pipeline:
    /// smaller goes first. \return kNotFound as above.
    [[nodiscard]] absl::StatusOr<rank_value> rank(app_handle a) const;
    /// \return kNotFound as above.
    [[nodiscard]] absl::StatusOr<time_point> deadline(app_handle a) const;

    [[nodiscard]] app_tracker_stats stats() const;

    /// Before the first event; null: nobody. It outlives the tracker or is taken away on the
    /// control loop.
    void set_observer(app_observer* observer);

    /// \name For who ranks: one pipeline at a time
    ///@{

    /// \return kFailedPrecondition: another has it.
    absl::Status attach(app_ranker& ranker);
    /// No call of the ranker after that. Applications stay.
    void detach() noexcept;
    /// Works out what has been reported, a bounded part of it. One thread at a time.
    /// \return when to call again at the latest; `never`: when `due` says so.
    time_point refresh(time_point now);
    /// Its rank with all that has been reported of it; nothing if it has ended. Where `refresh` is.
    [[nodiscard]] std::optional<rank_value> rank_now(app_handle a, time_point now);
    ///@}

 private:
    class impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace sluice::demand
