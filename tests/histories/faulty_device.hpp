// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <sluice/device/device.hpp>
#include <sluice/stage/block_stage.hpp>
#include <sluice/stage/compute.hpp>

#include "faults.hpp"

namespace sluice::histories {

/// A device that copies at the last moment, late or not at all, as a history says.
class faulty_device final : public device {
 public:
    explicit faulty_device(seam_world& w)
        : w_(w), in_(w.h, w.h.c.copy_in), out_(w.h, w.h.c.copy_out) {}
    ~faulty_device() override;

    absl::StatusOr<std::span<std::byte>> allocate_pinned(std::size_t bytes) override;
    void free_pinned(std::span<std::byte> memory) noexcept override;
    absl::Status register_layout(const layout& l) override;
    void copy_in(std::span<device_copy* const> ops) noexcept override;
    void copy_out(std::span<device_copy* const> ops) noexcept override;

 private:
    void end_in(device_copy& op, std::uint32_t ticket, std::uint64_t key, const fault* f);
    void end_out(device_copy& op, std::uint32_t ticket, std::uint64_t key, const fault* f);
    simulated_seams::ended after_fault(const fault* f, std::function<void()> end);

    seam_world& w_;
    pacing in_, out_;
    std::vector<std::byte> memory_;
    std::span<std::byte> pinned_;
};

/// A stage of the user's: turns a block of form n into form n - 1. What was written back has never
/// passed a stage and is left as it is.
class faulty_stage final : public block_stage {
 public:
    faulty_stage(seam_world& w, std::uint32_t form)
        : w_(w), form_(form), pace_(w.h, w.h.c.staging) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "decoder"; }
    [[nodiscard]] stage_limits limits() const noexcept override { return w_.h.c.stage; }
    void start(std::span<block_op* const> ops) noexcept override;

 private:
    void end(block_op& op, std::uint32_t ticket, std::uint64_t key, const fault* f);

    seam_world& w_;
    std::uint32_t form_;
    pacing pace_;
};

/// Prefill as a history says.
class faulty_compute final : public compute {
 public:
    explicit faulty_compute(seam_world& w) : w_(w) {}

    void start(compute_job& job) noexcept override;

 private:
    void end(compute_job& job, std::uint32_t ticket, watched& r, const fault* f);

    seam_world& w_;
    std::uint32_t running_ = 0;
};

}  // namespace sluice::histories
