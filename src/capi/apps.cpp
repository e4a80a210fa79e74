// SPDX-License-Identifier: Apache-2.0
// Applications of a pipeline or planner. All of it is translation.
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <sluice/base/status.hpp>
#include <sluice/demand/demand_model.hpp>

#include "../request_id.hpp"
#include "pipeline_object.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"
#include "times.hpp"

namespace sluice::capi {

using sluice::detail::app_id_of;
using sluice::detail::app_of_id;
using sluice::detail::pointer_of;

absl::Status pipeline_object::follow_applications(const sluice_app_options* given) {
    sluice_app_options o = SLUICE_APP_OPTIONS_INIT;
    if (given != nullptr) {
        if (absl::Status s = read_struct(given, o, "sluice_app_options"); !s.ok()) {
            return s;
        }
    }
    if (absl::Status s = check_flags(o.flags, SLUICE_APPS_NO_LEARNING, "sluice_app_options");
        !s.ok()) {
        return s;
    }
    if (o.reserved != 0) {
        return invalid("sluice_app_options.reserved is {}; it must be 0", o.reserved);
    }
    for (const auto& [name, seconds] :
         {std::pair<std::string_view, double>{"prefill_s", o.prefill_s},
          {"decode_s", o.decode_s},
          {"load_s", o.load_s}}) {
        if (!(seconds >= 0 && seconds <= 1e6)) {
            return invalid("sluice_app_options.{} is {}; 0 to 1e6 are possible", name, seconds);
        }
    }
    demand::app_tracker_options to;
    const auto set = [](auto& option, auto value) {
        if (value != 0) {
            option = value;
        }
    };
    set(to.rates.prefill_s_per_token, o.prefill_s);
    set(to.rates.decode_s_per_token, o.decode_s);
    set(to.rates.load_s_per_token, o.load_s);
    set(to.max_applications, o.max_apps);
    if (o.interval_ns != 0) {
        to.interval = to_duration(o.interval_ns);
    }
    to.learn = (o.flags & SLUICE_APPS_NO_LEARNING) == 0;
    applications_.emplace(to);
    return absl::OkStatus();
}

namespace {

/// Runs `body(tracker)` for a live handle.
template <class Body>
sluice_status with_tracker(std::string_view function, sluice_pipeline* handle, Body body) noexcept {
    return guarded(function, [&]() -> absl::Status {
        const auto found = pin<pipeline_object>(handle);
        if (!found.ok()) {
            return found.status();
        }
        if ((*found)->worker() != nullptr) {
            return absl::FailedPreconditionError(
                "the pipeline serves plans; applications are its planner's");
        }
        return body((*found)->applications());
    });
}

/// \return the text up to its NUL, or as much of it as is too long anyway.
std::string_view text_of(const char* text) noexcept {
    return {text, ::strnlen(text, demand::max_name_bytes + 1)};
}

absl::StatusOr<demand::app_spec> read_app(const sluice_app* given) {
    sluice_app a;
    if (absl::Status s = read_struct(given, a, "sluice_app"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(a.flags, 0, "sluice_app"); !s.ok()) {
        return s;
    }
    if (a.application == nullptr) {
        return null_argument("sluice_app.application");
    }
    if (a.reserved != 0) {
        return invalid("sluice_app.reserved is {}; it must be 0", a.reserved);
    }
    demand::app_spec spec;
    spec.application = text_of(a.application);
    spec.arrival = a.arrival_ns == 0 ? never : to_time(a.arrival_ns);
    spec.deadline = a.deadline_ns == 0 ? never : to_time(a.deadline_ns);
    spec.tenant = a.tenant;
    spec.tenant_weight = a.tenant_weight == 0 ? 1 : a.tenant_weight;
    spec.user = pointer_of(a.user);
    return spec;
}

absl::StatusOr<demand::unit_begin> read_unit(const sluice_unit* given) {
    sluice_unit u;
    if (absl::Status s = read_struct(given, u, "sluice_unit"); !s.ok()) {
        return s;
    }
    if (u.unit == nullptr) {
        return null_argument("sluice_unit.unit");
    }
    demand::unit_begin unit;
    unit.unit = text_of(u.unit);
    if (u.backend != nullptr) {
        unit.backend = text_of(u.backend);
    }
    unit.calls = u.calls == 0 ? 1 : u.calls;
    unit.prompt_tokens = u.prompt_tokens;
    unit.cached_tokens = u.cached_tokens;
    unit.time = u.time_ns == 0 ? never : to_time(u.time_ns);
    return unit;
}

absl::StatusOr<demand::unit_end> read_result(const sluice_unit_result* given) {
    sluice_unit_result r = SLUICE_UNIT_RESULT_INIT;
    if (given != nullptr) {
        if (absl::Status s = read_struct(given, r, "sluice_unit_result"); !s.ok()) {
            return s;
        }
    }
    if (absl::Status s = check_flags(r.flags, 0, "sluice_unit_result"); !s.ok()) {
        return s;
    }
    if (!(r.seconds >= 0)) {
        return invalid("sluice_unit_result.seconds is {}; it is not negative", r.seconds);
    }
    demand::unit_end unit;
    unit.prompt_tokens = r.prompt_tokens;
    unit.cached_tokens = r.cached_tokens;
    unit.completion_tokens = r.completion_tokens;
    unit.max_prompt_tokens = r.max_prompt_tokens;
    unit.max_completion_tokens = r.max_completion_tokens;
    unit.seconds = r.seconds == 0 ? -1 : r.seconds;
    unit.time = r.time_ns == 0 ? never : to_time(r.time_ns);
    return unit;
}

}  // namespace

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_app_model_load(sluice_pipeline* pipeline, const char* json,
                                    uint64_t bytes) noexcept {
    return with_tracker(
        "sluice_app_model_load", pipeline, [&](demand::app_tracker& t) -> absl::Status {
            if (json == nullptr) {
                return null_argument("json");
            }
            auto model =
                demand::demand_model::parse({json, static_cast<std::size_t>(bytes)}, "json");
            if (model.ok()) {
                t.add_model(*std::move(model));
            }
            return model.status();
        });
}

sluice_status sluice_app_begin(sluice_pipeline* pipeline, const sluice_app* app,
                               sluice_app_id* out) noexcept {
    if (out != nullptr) {
        *out = 0;
    }
    return with_tracker("sluice_app_begin", pipeline, [&](demand::app_tracker& t) -> absl::Status {
        if (out == nullptr) {
            return null_argument("out");
        }
        const absl::StatusOr<demand::app_spec> spec = read_app(app);
        if (!spec.ok()) {
            return spec.status();
        }
        const absl::StatusOr<app_handle> made = t.begin(*spec);
        if (made.ok()) {
            *out = app_id_of(*made);
        }
        return made.status();
    });
}

sluice_status sluice_app_end(sluice_pipeline* pipeline, sluice_app_id app,
                             uint32_t flags) noexcept {
    return with_tracker("sluice_app_end", pipeline, [&](demand::app_tracker& t) -> absl::Status {
        if (absl::Status s = check_flags(flags, SLUICE_APP_INCOMPLETE, "sluice_app_end"); !s.ok()) {
            return s;
        }
        return t.end(app_of_id(app), (flags & SLUICE_APP_INCOMPLETE) == 0);
    });
}

sluice_status sluice_unit_begin(sluice_pipeline* pipeline, sluice_app_id app,
                                const sluice_unit* unit) noexcept {
    return with_tracker("sluice_unit_begin", pipeline, [&](demand::app_tracker& t) -> absl::Status {
        const absl::StatusOr<demand::unit_begin> begin = read_unit(unit);
        return begin.ok() ? t.begin_unit(app_of_id(app), *begin) : begin.status();
    });
}

sluice_status sluice_unit_progress(sluice_pipeline* pipeline, sluice_app_id app,
                                   uint64_t prompt_tokens, uint64_t cached_tokens,
                                   uint64_t completion_tokens) noexcept {
    return with_tracker("sluice_unit_progress", pipeline, [&](demand::app_tracker& t) {
        return t.progress(app_of_id(app), {prompt_tokens, cached_tokens, completion_tokens});
    });
}

sluice_status sluice_unit_end(sluice_pipeline* pipeline, sluice_app_id app,
                              const sluice_unit_result* result) noexcept {
    return with_tracker("sluice_unit_end", pipeline, [&](demand::app_tracker& t) -> absl::Status {
        const absl::StatusOr<demand::unit_end> end = read_result(result);
        return end.ok() ? t.end_unit(app_of_id(app), *end) : end.status();
    });
}

sluice_status sluice_app_rank(sluice_pipeline* pipeline, sluice_app_id app, double* rank,
                              uint32_t* tier) noexcept {
    if (rank != nullptr) {
        *rank = 0;
    }
    if (tier != nullptr) {
        *tier = 0;
    }
    return with_tracker("sluice_app_rank", pipeline, [&](demand::app_tracker& t) {
        const absl::StatusOr<rank_value> now = t.rank(app_of_id(app));
        if (now.ok() && rank != nullptr) {
            *rank = now->value;
        }
        if (now.ok() && tier != nullptr) {
            *tier = static_cast<std::uint32_t>(now->tier);
        }
        return now.status();
    });
}

}  // extern "C"
