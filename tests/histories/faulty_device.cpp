// SPDX-License-Identifier: Apache-2.0
#include "faulty_device.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace sluice::histories {

// ---- device

faulty_device::~faulty_device() {
    if (!pinned_.empty()) {
        w_.check.fail("device", "pinned memory was not freed");
    }
}

absl::StatusOr<std::span<std::byte>> faulty_device::allocate_pinned(std::size_t bytes) {
    memory_.assign(bytes + 64, std::byte{0xcc});
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    pinned_ = {memory_.data() + (64 - at % 64) % 64, bytes};
    w_.check.l2_is(pinned_);
    return pinned_;
}

void faulty_device::free_pinned(std::span<std::byte> memory) noexcept {
    if (memory.data() != pinned_.data() || w_.check.in_flight() != 0) {
        w_.check.fail("device", "wrong memory is freed, or too early");
    }
    pinned_ = {};
}

absl::Status faulty_device::register_layout(const layout& l) {
    return &l == &w_.l1.form() ? absl::OkStatus() : absl::InvalidArgumentError("another layout");
}

// What a simulated copy does when it ends.
simulated_seams::ended faulty_device::after_fault(const fault* f, std::function<void()> end) {
    return [this, f, end = std::move(end)](absl::StatusCode how) {
        if (how != absl::StatusCode::kOk) {
            w_.check.fail("simulation", "a copy is refused");
        }
        if (f != nullptr) {
            w_.clock.after(f->extra, end);
        } else {
            end();
        }
    };
}

void faulty_device::copy_in(std::span<device_copy* const> ops) noexcept {
    for (device_copy* const op : ops) {
        const auto g = static_cast<std::uint32_t>(w_.l1.group_index(op->group));
        const std::uint64_t bytes = w_.l1.form().block_bytes(g);
        const std::uint64_t key = claimed_key({op->host, bytes});
        if (group_of(key) != g || !holds_block({op->host, bytes}, key)) {
            w_.check.fail("copy-bytes",
                          fmt::format("a copy in starts from an L2 slot that holds no "
                                      "whole block of group {} (it claims key {})",
                                      g, key));
        }
        const fault* const f = w_.faults.next(seam::copy_in, key);
        transfer t;
        t.at = seam::copy_in;
        t.key = key;
        t.l2 = op->host;
        t.group = g;
        t.page = op->slot;
        t.writes_page = true;
        const std::uint32_t ticket = w_.check.begins(t);
        w_.order.copy_starts(key);
        w_.l1.scribble_over(g, op->slot);
        const auto end = [this, op, ticket, key, f] { end_in(*op, ticket, key, f); };
        if (w_.sim != nullptr) {
            w_.sim->copy_in(*op, after_fault(f, end));
        } else {
            w_.clock.at(in_.end_of(w_.clock.now(), bytes, f), end);
        }
    }
}

void faulty_device::end_in(device_copy& op, std::uint32_t ticket, std::uint64_t key,
                           const fault* f) {
    const std::size_t g = w_.l1.group_index(op.group);
    const std::uint64_t bytes = w_.l1.form().block_bytes(g);
    absl::Status status;
    if (f != nullptr && f->kind == fault_kind::fail) {
        status = absl::InternalError("");
    } else {
        w_.l1.write(g, op.slot, {op.host, bytes});
    }
    w_.order.copy_ended(key);
    w_.check.ends(ticket, status.code(), bytes);
    op.complete(std::move(status));
}

void faulty_device::copy_out(std::span<device_copy* const> ops) noexcept {
    for (device_copy* const op : ops) {
        const auto g = static_cast<std::uint32_t>(w_.l1.group_index(op->group));
        const std::uint64_t key = w_.l1.claims(g, op->slot);
        const fault* const f = w_.faults.next(seam::copy_out, key);
        transfer t;
        t.at = seam::copy_out;
        t.key = key;
        t.l2 = op->host;
        t.writes_l2 = true;
        t.group = g;
        t.page = op->slot;
        const std::uint32_t ticket = w_.check.begins(t);
        const std::uint64_t bytes = w_.l1.form().block_bytes(g);
        scribble({op->host, bytes});
        const auto end = [this, op, ticket, key, f] { end_out(*op, ticket, key, f); };
        if (w_.sim != nullptr) {
            w_.sim->copy_out(*op, after_fault(f, end));
        } else {
            w_.clock.at(out_.end_of(w_.clock.now(), bytes, f), end);
        }
    }
}

void faulty_device::end_out(device_copy& op, std::uint32_t ticket, std::uint64_t key,
                            const fault* f) {
    const std::size_t g = w_.l1.group_index(op.group);
    const std::uint64_t bytes = w_.l1.form().block_bytes(g);
    absl::Status status;
    if (f != nullptr && f->kind == fault_kind::fail) {
        status = absl::InternalError("");
    } else if (group_of(key) != g || !w_.l1.holds(g, op.slot, key)) {
        w_.check.fail("copy-out-bytes",
                      fmt::format("page {} of group {} is copied out but holds no block (it claims "
                                  "key {})",
                                  op.slot, g, key));
    } else {
        w_.l1.read(g, op.slot, {op.host, bytes});
        w_.order.landed(key, op.host);
    }
    w_.check.ends(ticket, status.code(), bytes);
    op.complete(std::move(status));
}

// ---- user's stage

void faulty_stage::start(std::span<block_op* const> ops) noexcept {
    for (block_op* const op : ops) {
        const std::uint64_t key = value_of(op->key);
        const fault* const f = w_.faults.next(seam::stage, key);
        if (op->group != group_of(key) ||
            op->memory.size() != w_.l1.form().block_bytes(op->group) ||
            !(holds_block(op->memory, key, form_) || holds_block(op->memory, key, 0))) {
            w_.check.fail("stage-bytes",
                          fmt::format("stage {} is given something else than key {}", form_, key));
        }
        transfer t;
        t.at = seam::stage;
        t.key = key;
        t.l2 = op->memory.data();
        t.writes_l2 = true;
        const std::uint32_t ticket = w_.check.begins(t);
        w_.clock.at(pace_.end_of(w_.clock.now(), op->memory.size(), f),
                    [this, op, ticket, key, f] { end(*op, ticket, key, f); });
    }
}

void faulty_stage::end(block_op& op, std::uint32_t ticket, std::uint64_t key, const fault* f) {
    absl::Status status;
    if (f != nullptr && f->kind != fault_kind::delay) {
        scribble(op.memory);
        status = f->kind == fault_kind::corrupt ? absl::DataLossError("") : absl::InternalError("");
    } else if (!holds_block(op.memory, key, 0)) {
        fill_block(op.memory, key, form_ - 1);
    }
    if (status.ok() && form_ == 1) {
        w_.order.landed(key, op.memory.data());
    }
    w_.check.ends(ticket, status.code(), op.memory.size());
    op.complete(std::move(status));
}

// ---- compute

void faulty_compute::start(compute_job& job) noexcept {
    watched& r = w_.check.request(reinterpret_cast<std::uintptr_t>(job.user) - 1);
    const fault* const f = w_.faults.next(seam::compute, r.number);
    if (r.computing || r.computed || r.has_outcome || job.request != r.handle) {
        w_.check.fail("compute",
                      fmt::format("request {} is computed twice, or after its outcome", r.number));
    }
    const config& c = w_.h.c;
    const std::uint64_t tokens = prompt_tokens(c, *r.plan);
    if (job.context_tokens + job.query_tokens != tokens ||
        job.context_tokens != std::uint64_t{job.loaded_blocks} * c.block_tokens ||
        job.pages_per_group != r.per_group || ++running_ > c.concurrent_computes) {
        w_.check.fail("compute", fmt::format("the job of request {} does not add up", r.number));
    }
    transfer t;
    t.at = seam::compute;
    t.key = r.number;
    const std::uint32_t ticket = w_.check.begins(t);
    r.computing = true;
    r.k = job.loaded_blocks;
    r.pages.assign(job.pages.begin(), job.pages.end());
    w_.check.claim(r);
    w_.check.check_prefix(r, r.k, "is computed");
    w_.order.compute_starts(r);
    const duration takes = c.compute_per_token * static_cast<std::int64_t>(job.query_tokens) +
                           (f != nullptr ? f->extra : duration{0});
    const auto done = [this, &job, ticket, &r, f] { end(job, ticket, r, f); };
    if (w_.sim != nullptr && w_.sim->computes()) {
        w_.sim->compute(job, [this, f, done](absl::StatusCode) {
            w_.clock.after(f != nullptr ? f->extra : duration{0}, done);
        });
    } else {
        w_.clock.after(takes, done);
    }
}

void faulty_compute::end(compute_job& job, std::uint32_t ticket, watched& r, const fault* f) {
    --running_;
    w_.check.check_prefix(r, r.k, "has been computed");
    w_.check.compute_pages(r, r.k);
    r.computing = false;
    absl::Status status;
    if (f != nullptr && f->kind == fault_kind::fail) {
        status = absl::InternalError("the model failed");
    }
    if (!status.ok() || r.ended_early || r.has_outcome) {
        w_.check.unclaim(r);  // the library may give its pages to others at once
    }
    w_.check.ends(ticket, status.code(), 0);
    job.complete(std::move(status));
}

}  // namespace sluice::histories
