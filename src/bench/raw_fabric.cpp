// SPDX-License-Identifier: Apache-2.0
#include "raw_fabric.hpp"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include <sluice/base/status.hpp>

#include "process_usage.hpp"
#include "quantile.hpp"
#include "raw_target.hpp"

extern char** environ;

namespace sluice::bench {
namespace {

std::int64_t now_ns() noexcept {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

double seconds_of(std::int64_t ns) noexcept { return static_cast<double>(ns) * 1e-9; }

/// What the target says first. Its end of the socket closes when it dies.
absl::StatusOr<raw_hello> receive_hello(int socket) {
    raw_hello hello;
    if (recv(socket, &hello, sizeof hello, MSG_WAITALL) != static_cast<ssize_t>(sizeof hello)) {
        return absl::UnavailableError("the target process ended before it was ready");
    }
    if (hello.error[0] != '\0') {
        return absl::UnavailableError(fmt::format("target: {}", hello.error.data()));
    }
    return hello;
}

}  // namespace

absl::StatusOr<std::unique_ptr<raw_fabric>> raw_fabric::connect(const raw_fabric_options& options,
                                                                std::span<std::byte> local) {
    std::unique_ptr<raw_fabric> r(new raw_fabric);
    SLUICE_RETURN_IF_ERROR(r->start_target(options));
    auto opened = raw_endpoint::open(options.provider, options.kind, FI_READ, local);
    SLUICE_RETURN_IF_ERROR(opened.status());
    r->end_ = *std::move(opened);
    const auto hello = receive_hello(r->socket_);
    SLUICE_RETURN_IF_ERROR(hello.status());
    r->base_ = hello->base;
    r->key_ = hello->key;
    SLUICE_RETURN_IF_ERROR(r->connect_endpoint({hello->address.data(), hello->address_bytes}));
    if (r->end_.memory != nullptr) {
        r->descriptor_ = fi_mr_desc(r->end_.memory.get());
    }
    // Datagram endpoints connect with their first read, and may not wake anybody until then.
    std::byte* const first = local.data();
    const std::uint64_t start = 0;
    raw_reads reads;
    reads.block_bytes = 64;
    reads.completion = raw_completion::spin;
    reads.remote = {&start, 1};
    reads.local = {&first, 1};
    SLUICE_RETURN_IF_ERROR(r->read_blocks(reads).status());
    send(r->socket_, "c", 1, MSG_NOSIGNAL);
    return r;
}

raw_fabric::~raw_fabric() {
    end_.endpoint.reset();
    if (child_ > 0) {
        // It ends by itself when our end closes; one that hangs is not waited for.
        shutdown(socket_, SHUT_WR);
        pollfd ended{socket_, POLLIN, 0};
        if (poll(&ended, 1, 2000) <= 0) {
            kill(child_, SIGKILL);
        }
        waitpid(child_, nullptr, 0);
    }
    if (socket_ >= 0) {
        close(socket_);
    }
}

absl::Status raw_fabric::start_target(const raw_fabric_options& options) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return absl::UnavailableError(fmt::format("socketpair: {}", std::strerror(errno)));
    }
    socket_ = ends[0];
    constexpr int child_fd = 3;
    std::vector<std::string> words = options.target_command;
    words.insert(
        words.end(),
        {"--provider", options.provider, "--endpoint", std::string(name_of(options.kind)),
         "--bytes", std::to_string(options.remote_bytes), "--fd", std::to_string(child_fd)});
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], child_fd);
    const int error = posix_spawn(&child_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
        child_ = -1;
        return absl::UnavailableError(
            fmt::format("cannot start {}: {}", words[0], std::strerror(error)));
    }
    return absl::OkStatus();
}

absl::Status raw_fabric::connect_endpoint(std::span<const std::byte> address) {
    SLUICE_RETURN_IF_ERROR(end_.make_endpoint(*end_.info));
    if (end_.kind() == raw_kind::connected) {
        SLUICE_RETURN_IF_ERROR(
            raw_status(fi_connect(end_.endpoint.get(), address.data(), nullptr, 0), "fi_connect"));
        return await_event(*end_.events, FI_CONNECTED, 10'000).status();
    }
    if (fi_av_insert(end_.peers.get(), address.data(), 1, &peer_, 0, nullptr) != 1) {
        return absl::UnavailableError("fi_av_insert: the provider refuses the target's address");
    }
    return absl::OkStatus();
}

absl::StatusOr<raw_figures> raw_fabric::read_blocks(const raw_reads& reads) {
    if (reads.remote.empty() || reads.remote.size() != reads.local.size() || reads.window == 0 ||
        reads.window > max_window || reads.pieces == 0 || reads.pieces > max_pieces) {
        return absl::InvalidArgumentError(fmt::format(
            "{} remote and {} local blocks in a window of {}, {} to a read: must be equal, not 0, "
            "window at most {}, {} to a read",
            reads.remote.size(), reads.local.size(), reads.window, reads.pieces, max_window,
            max_pieces));
    }
    took_ns_.clear();
    took_ns_.reserve(reads.remote.size());
    free_.clear();
    for (std::uint32_t i = 0; i < reads.window; ++i) {
        free_.push_back(i);
    }
    issued_ = ended_ = 0;
    const double target_cpu = cpu_seconds_of(child_);
    const double cpu = cpu_seconds_of(getpid());
    const std::int64_t begin = now_ns();
    SLUICE_RETURN_IF_ERROR(run(reads));
    raw_figures out;
    out.seconds = seconds_of(now_ns() - begin);
    out.cpu_s = cpu_seconds_of(getpid()) - cpu;
    out.target_cpu_s = cpu_seconds_of(child_) - target_cpu;
    out.p50_us = quantile(took_ns_, 0.5) * 1e-3;
    out.p99_us = quantile(took_ns_, 0.99) * 1e-3;
    return out;
}

absl::Status raw_fabric::run(const raw_reads& reads) {
    const bool wait = reads.completion == raw_completion::wait && can_wait();
    std::array<fi_cq_entry, 16> entries;
    while (ended_ < reads.remote.size()) {
        SLUICE_RETURN_IF_ERROR(post(reads));
        const ssize_t got = fi_cq_read(end_.queue.get(), entries.data(), entries.size());
        if (got > 0) {
            const std::int64_t now = now_ns();
            for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
                const slot& done = *static_cast<slot*>(entries[i].op_context);
                took_ns_.push_back(now - done.posted_ns);
                ended_ += done.blocks;
                free_.push_back(static_cast<std::uint32_t>(&done - slots_.data()));
            }
        } else if (got != -FI_EAGAIN) {
            return failure();
        } else if (wait) {
            end_.wait(-1, 1000);
        }
    }
    return absl::OkStatus();
}

/// Posts what the window and the provider take.
absl::Status raw_fabric::post(const raw_reads& reads) {
    while (!free_.empty() && issued_ < reads.remote.size()) {
        slot& s = slots_[free_.back()];
        s.posted_ns = now_ns();
        s.blocks = std::min<std::size_t>(reads.pieces, reads.remote.size() - issued_);
        const ssize_t ret = s.blocks > 1 ? post_pieces(reads, s)
                                         : fi_read(end_.endpoint.get(), reads.local[issued_],
                                                   reads.block_bytes, descriptor_, peer_,
                                                   base_ + reads.remote[issued_], key_, &s.context);
        if (ret == -FI_EAGAIN) {
            return absl::OkStatus();
        }
        SLUICE_RETURN_IF_ERROR(raw_status(ret, "fi_read"));
        free_.pop_back();
        issued_ += s.blocks;
    }
    return absl::OkStatus();
}

ssize_t raw_fabric::post_pieces(const raw_reads& reads, slot& s) noexcept {
    std::array<iovec, max_pieces> local;
    std::array<fi_rma_iov, max_pieces> remote;
    std::array<void*, max_pieces> descriptors;
    descriptors.fill(descriptor_);
    for (std::size_t i = 0; i < s.blocks; ++i) {
        local[i] = {reads.local[issued_ + i], reads.block_bytes};
        remote[i] = {base_ + reads.remote[issued_ + i], reads.block_bytes, key_};
    }
    fi_msg_rma message{};
    message.msg_iov = local.data();
    message.desc = descriptors.data();
    message.iov_count = s.blocks;
    message.addr = peer_;
    message.rma_iov = remote.data();
    message.rma_iov_count = s.blocks;
    message.context = &s.context;
    return fi_readmsg(end_.endpoint.get(), &message, FI_COMPLETION);
}

absl::Status raw_fabric::failure() noexcept {
    fi_cq_err_entry error{};
    fi_cq_readerr(end_.queue.get(), &error, 0);
    return absl::UnavailableError(fmt::format("a read failed: {}", fi_strerror(error.err)));
}

}  // namespace sluice::bench
