// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include <absl/status/statusor.h>

namespace sluice::demand {

/// A child process in a process group of its own, with pipes to its standard input and from its
/// standard output. Ends with this object.
///
/// \par Thread safety
/// One thread at a time.
class worker_process {
 public:
    /// Starts `command[0]`, which is looked for in PATH, by posix_spawn: no signal is blocked or
    /// ignored, no other descriptor of ours stays open in it, standard error is shared.
    ///
    /// \param greeting  is written to its standard input before it starts; 4096 bytes at most
    /// \return kInvalidArgument: no command, a greeting too long; kNotFound: there is no such
    ///         program; kPermissionDenied; kResourceExhausted: no process or descriptor is to be
    ///         had
    [[nodiscard]] static absl::StatusOr<worker_process> start(
        const std::vector<std::string>& command, const std::string& greeting = {});

    worker_process(worker_process&& other) noexcept;
    worker_process& operator=(worker_process&& other) noexcept;
    /// Kills what is left of its group and waits for it: it leaves no zombie.
    ~worker_process();

    [[nodiscard]] pid_t id() const noexcept { return pid_; }
    /// To its standard input, blocking; -1 once closed. Block SIGPIPE if it may end early.
    [[nodiscard]] int input() const noexcept { return input_; }
    /// From its standard output, non-blocking.
    [[nodiscard]] int output() const noexcept { return output_; }
    /// Readable when it has ended; -1 if the kernel has no such descriptors.
    [[nodiscard]] int exit_event() const noexcept { return exit_event_; }

    /// At the end of its input most programs end.
    void close_input() noexcept;
    /// To its whole group. No-op if it has ended.
    void signal(int number) noexcept;
    /// Collects it if it has ended. \return whether it has
    [[nodiscard]] bool ended() noexcept;
    /// "exit status 3", "signal 9"; empty: runs, as far as is known.
    [[nodiscard]] std::string how_it_ended() const;

 private:
    worker_process(pid_t pid, int input, int output, int exit_event) noexcept
        : pid_(pid), input_(input), output_(output), exit_event_(exit_event) {}
    void end() noexcept;

    pid_t pid_ = -1;  // -1: moved from
    int input_ = -1;
    int output_ = -1;
    int exit_event_ = -1;
    bool reaped_ = false;
    int status_ = 0;  // of waitpid
};

}  // namespace sluice::demand
