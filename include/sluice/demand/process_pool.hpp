// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/demand/warmable.hpp>
#include <sluice/demand/worker_process.hpp>

namespace sluice::demand {

/// A kind of worker: how it is started and how it says that it is ready.
struct worker_kind {
    std::vector<std::string> command;  ///< a program, looked for in PATH, and its arguments
    std::string greeting;              ///< written to its standard input at once; usually empty
    /// The first line that it writes when it is ready, without the end of the line. Empty: it is
    /// ready as soon as it runs.
    std::string ready_line = "ready";
    double seconds = 1;  ///< a first guess of what that takes; later ones are learned
    double hold = 1;     ///< resource-seconds per second
    duration start_limit = std::chrono::seconds{30};  ///< then it is given up
};

struct process_pool_options {
    std::uint32_t max_processes = 64;  ///< ready, starting or ending; those taken do not count
    /// Between being asked to end (end of input, SIGTERM) and being killed.
    duration grace = std::chrono::seconds{2};
};

/// Starts real worker processes before they are needed: interpreters, containers, sandboxes. A
/// worker serves one application; a key names one worker to be.
///
/// What a child does is its own affair, but never ours: one that says nothing, says something else,
/// says too much, ends, or does not want to end is killed with its whole process group and
/// collected, and is a status. If this process dies, its workers see the end of their input.
///
/// \par Thread safety
/// Everything on its loop, which watches the children's descriptors.
///
/// \par Lifetime
/// The loop outlives it; the prewarmer that uses it goes first. The destructor kills and collects
/// what it has; those who wait in `take` get kCancelled.
class process_pool final : public warmable {
 public:
    explicit process_pool(loop& on, const process_pool_options& options = {});
    ~process_pool() override;

    /// \return its number; kInvalidArgument: no command, times that cannot be
    absl::StatusOr<std::uint32_t> add(worker_kind kind);

    /// A worker of that kind for that instance, such as an application's number.
    [[nodiscard]] static warm_key key(std::uint32_t kind, std::uint32_t instance) noexcept {
        return (warm_key{kind} << 32) | instance;
    }

    using taken = std::function<void(absl::StatusOr<worker_process>)>;
    /// Hands over the worker: at once, if it is ready (`then` is called before this returns);
    /// when it is, if it is still starting; and if there is none, one is started. It is the
    /// caller's then. Tell the prewarmer of the use, before or after.
    ///
    /// \param then  gets kInvalidArgument: no such kind; kAlreadyExists: somebody waits for it;
    ///              or why it has not become ready, as `worker_process::start`, kUnavailable: it
    ///              ended or said something else, kDeadlineExceeded, kCancelled
    void take(warm_key key, taken then);

    /// Ends a worker that is ready or starting, and who waits for it gets kCancelled.
    void drop(warm_key key) noexcept;

    /// Ready, starting or ending.
    [[nodiscard]] std::uint32_t processes() const noexcept;
    /// Ready.
    [[nodiscard]] std::uint32_t ready() const noexcept;
    /// As learned from the starts so far; 0: no such kind.
    [[nodiscard]] double seconds(std::uint32_t kind) const noexcept;

    [[nodiscard]] warm_cost cost(warm_key key) noexcept override;
    void warm(warm_key key, warm_done done) noexcept override;
    void cool(warm_key key) noexcept override;
    [[nodiscard]] bool shared() const noexcept override { return false; }

 private:
    class core;
    std::unique_ptr<core> core_;
};

}  // namespace sluice::demand
