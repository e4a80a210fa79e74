// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include <sluice/stage/compute_thread.hpp>

#include "drivers.hpp"
#include "ops.hpp"
#include "policy.hpp"
#include "status.hpp"
#include "structs.hpp"

namespace sluice::capi {

namespace {

std::optional<absl::Status> run(const sluice_compute& table, compute_job& job) {
    const sluice_op token = issue(job);
    sluice_compute_job c{};
    c.struct_size = sizeof c;
    c.loaded_blocks = job.loaded_blocks;
    c.op = token;
    c.request = id_of(job.request);
    c.user = number_of(job.user);
    c.context_tokens = job.context_tokens;
    c.query_tokens = job.query_tokens;
    c.pages = job.pages.data();
    c.pages_per_group = job.pages_per_group;
    const callback_scope in_callback;
    const sluice_status code = table.run(table.user, &c);
    // It may have been completed already, whatever the function returns.
    if (code == SLUICE_PENDING || !withdraw(token)) {
        return std::nullopt;
    }
    return status_of(code);
}

}  // namespace

absl::StatusOr<std::unique_ptr<compute>> make_compute(const sluice_compute* given) {
    sluice_compute table;
    if (absl::Status s = read_struct(given, table, "sluice_compute"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(table.flags, 0, "sluice_compute"); !s.ok()) {
        return s;
    }
    if (table.run == nullptr) {
        return null_argument("sluice_compute.run");
    }
    return std::make_unique<compute_thread>([table](compute_job& job) { return run(table, job); });
}

}  // namespace sluice::capi
