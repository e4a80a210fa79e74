// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/worker_process.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <absl/status/status.h>
#include <fmt/format.h>

extern char** environ;

namespace sluice::demand {
namespace {

constexpr std::size_t longest_greeting = 4096;  // less than any pipe holds, so no write blocks

absl::Status no_process(int error, const std::string& program, const char* what) {
    std::string text = fmt::format("worker '{}' could not be started: {}: {}", program, what,
                                   std::strerror(error));
    switch (error) {
    case ENOENT:
    case ENOTDIR: return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
    case ENOEXEC: return absl::PermissionDeniedError(text);
    default: return absl::ResourceExhaustedError(text);
    }
}

class pipe_ends {
 public:
    pipe_ends() noexcept = default;
    pipe_ends(const pipe_ends&) = delete;
    pipe_ends& operator=(const pipe_ends&) = delete;
    ~pipe_ends() {
        for (const int fd : fds_) {
            if (fd >= 0) {
                close(fd);
            }
        }
    }
    [[nodiscard]] bool open() noexcept { return pipe2(fds_.data(), O_CLOEXEC) == 0; }
    [[nodiscard]] int reader() const noexcept { return fds_[0]; }
    [[nodiscard]] int writer() const noexcept { return fds_[1]; }
    int take(std::size_t end) noexcept { return std::exchange(fds_[end], -1); }

 private:
    std::array<int, 2> fds_{-1, -1};
};

// What posix_spawn is to do; freed in any case.
class spawn_plan {
 public:
    spawn_plan(int input, int output) noexcept {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
        keep(posix_spawn_file_actions_adddup2(&actions_, input, STDIN_FILENO));
        keep(posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO));
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
        keep(posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
#endif
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigfillset(&all);
        keep(posix_spawnattr_setsigmask(&attributes_, &none));
        keep(posix_spawnattr_setsigdefault(&attributes_, &all));
        keep(posix_spawnattr_setpgroup(&attributes_, 0));
        keep(posix_spawnattr_setflags(
            &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
    }
    spawn_plan(const spawn_plan&) = delete;
    spawn_plan& operator=(const spawn_plan&) = delete;
    ~spawn_plan() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }

    [[nodiscard]] int spawn(pid_t& pid, char* const* words) const noexcept {
        return error_ != 0 ? error_
                           : posix_spawnp(&pid, words[0], &actions_, &attributes_, words, environ);
    }

 private:
    void keep(int error) noexcept { error_ = error_ != 0 ? error_ : error; }

    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
    int error_ = 0;
};

int exit_event_of(pid_t pid) noexcept {
#ifdef SYS_pidfd_open
    return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));  // closes on exec by itself
#else
    (void)pid;
    return -1;
#endif
}

}  // namespace

absl::StatusOr<worker_process> worker_process::start(const std::vector<std::string>& command,
                                                     const std::string& greeting) {
    if (command.empty() || command[0].empty()) {
        return absl::InvalidArgumentError("a worker needs a command: a program and its arguments");
    }
    if (greeting.size() > longest_greeting) {
        return absl::InvalidArgumentError(fmt::format(
            "the greeting of worker '{}' has {} bytes; at most {} are possible, write the rest "
            "to its input",
            command[0], greeting.size(), longest_greeting));
    }
    pipe_ends input;
    pipe_ends output;
    if (!input.open() || !output.open()) {
        return no_process(errno, command[0], "pipe");
    }
    // We have the other end as well, so it fits and nobody gets a SIGPIPE.
    if (!greeting.empty() && write(input.writer(), greeting.data(), greeting.size()) < 0) {
        return no_process(errno, command[0], "pipe");
    }
    std::vector<std::string> text = command;
    std::vector<char*> words;
    words.reserve(text.size() + 1);
    for (std::string& word : text) {
        words.push_back(word.data());
    }
    words.push_back(nullptr);
    pid_t pid = -1;
    const spawn_plan plan(input.reader(), output.writer());
    if (const int error = plan.spawn(pid, words.data()); error != 0) {
        return no_process(error, command[0], "spawn");
    }
    fcntl(output.reader(), F_SETFL, O_NONBLOCK);
    return worker_process(pid, input.take(1), output.take(0), exit_event_of(pid));
}

worker_process::worker_process(worker_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      exit_event_(std::exchange(other.exit_event_, -1)),
      reaped_(other.reaped_),
      status_(other.status_) {}

worker_process& worker_process::operator=(worker_process&& other) noexcept {
    if (this != &other) {
        end();
        pid_ = std::exchange(other.pid_, -1);
        input_ = std::exchange(other.input_, -1);
        output_ = std::exchange(other.output_, -1);
        exit_event_ = std::exchange(other.exit_event_, -1);
        reaped_ = other.reaped_;
        status_ = other.status_;
    }
    return *this;
}

worker_process::~worker_process() { end(); }

void worker_process::end() noexcept {
    if (pid_ < 0) {
        return;
    }
    if (!ended()) {
        kill(-pid_, SIGKILL);
        while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
        }
    }
    close_input();
    for (int* fd : {&output_, &exit_event_}) {
        if (*fd >= 0) {
            close(std::exchange(*fd, -1));
        }
    }
    pid_ = -1;
}

void worker_process::close_input() noexcept {
    if (input_ >= 0) {
        close(std::exchange(input_, -1));
    }
}

void worker_process::signal(int number) noexcept {
    if (pid_ >= 0 && !reaped_) {
        kill(-pid_, number);
    }
}

bool worker_process::ended() noexcept {
    if (pid_ < 0 || reaped_) {
        return true;
    }
    // Looked at before it is collected: until then neither its id nor its group's is used again,
    // so what it has left behind can still be ended safely.
    siginfo_t info{};
    int result = 0;
    do {
        result = waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    } while (result < 0 && errno == EINTR);
    if (result == 0 && info.si_pid == 0) {
        return false;
    }
    reaped_ = true;
    if (result < 0) {
        return true;  // this program has its children collected by somebody else
    }
    kill(-pid_, SIGKILL);
    while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    return true;
}

std::string worker_process::how_it_ended() const {
    if (!reaped_) {
        return {};
    }
    return WIFSIGNALED(status_) ? fmt::format("signal {}", WTERMSIG(status_))
                                : fmt::format("exit status {}", WEXITSTATUS(status_));
}

}  // namespace sluice::demand
