// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sluice.h>
#include <sluice/store/memory_store.hpp>

// The same small engine twice, on the C++ API and on the C API, for what both take to be compared.
namespace sluice::bench {

struct engine_setup {
    bool threads = false;    ///< of the pipeline's own; else a loop that `run` runs
    bool engine_l1 = false;  ///< the engine owns L1
};

inline constexpr std::uint32_t engine_block_bytes = 4096;
inline constexpr std::uint32_t engine_block_tokens = 16;
inline constexpr std::uint32_t engine_slots = 512;
inline constexpr std::uint64_t engine_key = 4711;  ///< of the one block
inline constexpr std::size_t engine_events = 64;   ///< taken at once

/// An engine on `pipeline`.
class cpp_engine {
 public:
    using id = request_handle;

    [[nodiscard]] static absl::StatusOr<std::unique_ptr<cpp_engine>> open(const engine_setup& s);
    ~cpp_engine();

    /// A request of one block; with its pages, if the engine owns L1.
    absl::Status submit(id& out);
    absl::Status compute_done(id request) { return pipe_->compute_done(request); }
    absl::Status release(id request) { return pipe_->release(request); }
    absl::Status query(id request) { return pipe_->progress(request).status(); }
    absl::Status next_ready() {
        ready_ = pipe_->next_ready();
        return absl::OkStatus();
    }
    /// Takes events. \return how many
    std::size_t poll() { return pipe_->poll_events(events_); }
    [[nodiscard]] bool is_ready(std::size_t event) const noexcept {
        return events_[event].kind == event_kind::ready;
    }
    [[nodiscard]] std::uint32_t blocks(std::size_t event) const noexcept {
        return events_[event].blocks;
    }
    [[nodiscard]] id request(std::size_t event) const noexcept { return events_[event].request; }
    /// What is due, on a loop.
    void run();
    [[nodiscard]] int event_fd() const { return pipe_->event_fd(); }
    [[nodiscard]] std::uint32_t live() const { return pipe_->stats().live_requests; }
    [[nodiscard]] std::uint64_t moved_bytes() const {
        const pipeline_stats s = pipe_->stats();
        return s.fetch.bytes + s.copy.bytes + s.copy_out.bytes + s.put.bytes;
    }

 private:
    cpp_engine() = default;

    engine_setup setup_;
    std::vector<std::byte> kv_;
    std::optional<virtual_loop> loop_;
    std::optional<layout> l1_;
    std::unique_ptr<memory_store> store_;
    std::unique_ptr<host_device> device_;
    std::unique_ptr<pipeline> pipe_;
    block_key key_;
    time_point next_due_ = never;
    id ready_;
    std::array<request_event, engine_events> events_;
};

/// The same engine on `sluice.h`.
class c_engine {
 public:
    using id = sluice_request_id;

    [[nodiscard]] static absl::StatusOr<std::unique_ptr<c_engine>> open(const engine_setup& s);
    ~c_engine();

    absl::Status submit(id& out);
    absl::Status compute_done(id request) { return said(sluice_compute_done(pipe_, request, 0)); }
    absl::Status release(id request) { return said(sluice_release(pipe_, request)); }
    absl::Status query(id request) {
        sluice_progress p = SLUICE_PROGRESS_INIT;
        return said(sluice_query(pipe_, request, &p));
    }
    absl::Status next_ready() { return said(sluice_next_ready(pipe_, &ready_)); }
    std::size_t poll() {
        std::uint32_t n = 0;
        sluice_poll(pipe_, events_.data(), engine_events, &n);
        return n;
    }
    [[nodiscard]] bool is_ready(std::size_t event) const noexcept {
        return events_[event].kind == SLUICE_EVENT_READY;
    }
    [[nodiscard]] std::uint32_t blocks(std::size_t event) const noexcept {
        return events_[event].blocks;
    }
    [[nodiscard]] id request(std::size_t event) const noexcept { return events_[event].request; }
    void run() { sluice_loop_run(loop_, &next_due_); }
    [[nodiscard]] int event_fd() const {
        int fd = -1;
        sluice_event_fd(pipe_, &fd);
        return fd;
    }
    [[nodiscard]] std::uint32_t live() const { return stats().live_requests; }
    [[nodiscard]] std::uint64_t moved_bytes() const {
        const sluice_stats s = stats();
        return s.fetched_bytes + s.copied_bytes + s.copied_out_bytes + s.put_bytes;
    }

 private:
    c_engine() = default;
    absl::Status open_all();
    [[nodiscard]] sluice_stats stats() const {
        sluice_stats s = SLUICE_STATS_INIT;
        sluice_pipeline_stats(pipe_, &s);
        return s;
    }
    static absl::Status said(sluice_status code) {
        return code == SLUICE_OK ? absl::OkStatus() : absl::InternalError(sluice_last_error());
    }

    engine_setup setup_;
    std::vector<std::byte> kv_;
    sluice_loop* loop_ = nullptr;
    sluice_store* store_ = nullptr;
    sluice_device* device_ = nullptr;
    sluice_pipeline* pipe_ = nullptr;
    std::uint64_t next_due_ = UINT64_MAX;
    id ready_ = 0;
    std::array<sluice_event, engine_events> events_{};
};

}  // namespace sluice::bench
