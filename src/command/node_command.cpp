// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/fabric/memory_node.hpp>

#include "commands.hpp"
#include "output.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

struct node_flags {
    memory_node_options options;
    double lease_s = to_seconds(options.lease);
    double drain_timeout_s = to_seconds(options.drain_timeout);
    bool no_touch = false;
};

// SIGINT and SIGTERM as something to be watched by a loop. Threads made later inherit that they are
// not delivered otherwise.
class termination {
 public:
    termination() {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    termination(const termination&) = delete;
    termination& operator=(const termination&) = delete;
    ~termination() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }

    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// \return whether there was one
    [[nodiscard]] bool take() const noexcept {
        signalfd_siginfo info;
        return read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info);
    }

 private:
    int fd_ = -1;
};

// The first signal drains the node, another one does not wait for that.
struct terminator : fd_watch {
    terminator(const termination& s, thread_loop& l, memory_node& n)
        : fd_watch(s.fd(), EPOLLIN,
                   [](fd_watch& w, std::uint32_t) noexcept {
                       auto& self = static_cast<terminator&>(w);
                       while (self.signals.take()) {
                           self.signalled();
                       }
                   }),
          signals(s),
          on(l),
          node(n) {}

    void signalled() {
        if (draining) {
            on.stop();
            return;
        }
        draining = true;
        node.drain([this] { on.stop(); });
    }

    const termination& signals;
    thread_loop& on;
    memory_node& node;
    bool draining = false;
};

int serve(node_flags flags) {
    memory_node_options& options = flags.options;
    options.lease = from_seconds(flags.lease_s);
    options.drain_timeout = from_seconds(flags.drain_timeout_s);
    options.touch = !flags.no_touch;
    const termination signals;
    if (signals.fd() < 0) {
        return complain("node", absl::ResourceExhaustedError(
                                    fmt::format("no signalfd: {}", std::strerror(errno))));
    }
    thread_loop on("sluice-node");
    // Every client takes some; the soft limit is small for the sake of select(2), which is not
    // used.
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    absl::StatusOr<std::unique_ptr<memory_node>> node = memory_node::create(options, &on);
    if (!node.ok()) {
        return complain("node", node.status());
    }
    terminator end(signals, on, **node);
    if (absl::Status status = on.watch(end); !status.ok()) {
        return complain("node", status);
    }
    std::string lines = fmt::format("sluice node: serving {}\n", (*node)->address());
    if (const std::string& at = (*node)->metrics_address(); !at.empty()) {
        lines += fmt::format("sluice node: metrics at http://{}/metrics\n", at);
    }
    absl::Status status = write_text("-", lines);
    if (status.ok()) {
        status = on.run();
    }
    on.unwatch(end);
    if (status.ok()) {
        const memory_node_stats s = (*node)->stats();
        status = write_text(
            "-", fmt::format("sluice node: ended with {} blocks, {} bytes; {} clients were left\n",
                             s.blocks, s.bytes, s.connections));
    }
    return status.ok() ? exit_ok : complain("node", status);
}

}  // namespace

void add_node(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand("node", "Lend this machine's memory to a pool of blocks");
    auto flags = std::make_shared<node_flags>();
    memory_node_options& o = flags->options;
    sub->add_option("--listen", o.listen, "Where clients ask; port 0 takes a free one")
        ->capture_default_str();
    sub->add_option("--memory", o.memory, "Memory for blocks: 4GiB, 512MiB, 1.5GB, or bytes")
        ->transform(byte_size(mib, std::uint64_t{1} << 48))
        ->default_str("4GiB");
    sub->add_option("--secret-file", o.secret_file, "What clients and nodes know; 16 bytes or more")
        ->required();
    sub->add_option("--metrics", o.metrics, "host:port for /metrics and /healthz by HTTP");
    sub->add_option("--provider", o.providers,
                    "libfabric provider to be read by; may be given several times")
        ->default_str("tcp");
    sub->add_option("--congestion-control", o.congestion_control,
                    "The kernel's, for reads over TCP; '': the system's choice")
        ->capture_default_str();
    sub->add_option("--lease", flags->lease_s, "Seconds that a located block stays readable")
        ->check(number_between(0.1, 3600))
        ->capture_default_str();
    sub->add_option("--staging", o.staging, "Memory for each client that puts blocks")
        ->transform(byte_size(4 * kib, gib))
        ->default_str("16MiB");
    sub->add_option("--max-connections", o.max_connections, "Clients at once")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    sub->add_option("--drain-timeout", flags->drain_timeout_s,
                    "Seconds that clients get to finish their reads at the end")
        ->check(number_between(0, 86400))
        ->capture_default_str();
    sub->add_flag("--no-touch", flags->no_touch, "Take memory when it is first used, not at once");
    sub->callback([flags, &exit_code] { exit_code = serve(*flags); });
}

}  // namespace sluice::command
