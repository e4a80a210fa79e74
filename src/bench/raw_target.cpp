// SPDX-License-Identifier: Apache-2.0
#include "raw_target.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <rdma/fi_errno.h>

#include <sluice/base/status.hpp>

#include "../pages.hpp"

namespace sluice::bench {
namespace {

class target {
 public:
    explicit target(const raw_target_options& options) : options_(options), pool_(options.bytes) {}

    /// Everything up to being connectable.
    absl::Status prepare(raw_hello& hello) {
        if (pool_.pages().empty()) {
            return absl::ResourceExhaustedError(
                fmt::format("no memory for a pool of {} bytes", options_.bytes));
        }
        auto made =
            raw_endpoint::open(options_.provider, options_.kind, FI_REMOTE_READ, pool_.pages());
        SLUICE_RETURN_IF_ERROR(made.status());
        end_ = *std::move(made);
        SLUICE_RETURN_IF_ERROR(listen());
        auto address = address_of(passive_ ? passive_->fid : end_.endpoint->fid);
        SLUICE_RETURN_IF_ERROR(address.status());
        std::copy(address->begin(), address->end(), hello.address.begin());
        hello.address_bytes = static_cast<std::uint32_t>(address->size());
        const bool by_address = (end_.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR) != 0;
        hello.base = by_address ? reinterpret_cast<std::uintptr_t>(pool_.pages().data()) : 0;
        hello.key = fi_mr_key(end_.memory.get());
        return absl::OkStatus();
    }

    absl::Status accept() {
        if (passive_ == nullptr) {
            return absl::OkStatus();
        }
        const auto request = await_event(*end_.events, FI_CONNREQ, 10'000);
        SLUICE_RETURN_IF_ERROR(request.status());
        SLUICE_RETURN_IF_ERROR(end_.make_endpoint(**request));
        SLUICE_RETURN_IF_ERROR(raw_status(fi_accept(end_.endpoint.get(), nullptr, 0), "fi_accept"));
        return await_event(*end_.events, FI_CONNECTED, 10'000).status();
    }

    void serve() noexcept {
        // Endpoints that connect with the first read may not wake the wait object until they have:
        // the reader says when that is over.
        bool settled = false;
        for (;;) {
            fi_cq_entry entry{};
            fi_cq_read(end_.queue.get(), &entry, 1);  // moves the data; there is nothing to read
            char byte = 0;
            if (end_.wait(options_.fd, settled ? -1 : 1)) {
                if (recv(options_.fd, &byte, 1, 0) <= 0) {
                    return;
                }
                settled = true;
            }
        }
    }

 private:
    absl::Status listen() {
        if (end_.kind() == raw_kind::datagram) {
            return end_.make_endpoint(*end_.info);
        }
        fid_pep* raw = nullptr;
        SLUICE_RETURN_IF_ERROR(raw_status(
            fi_passive_ep(end_.fabric.get(), end_.info.get(), &raw, nullptr), "fi_passive_ep"));
        passive_.reset(raw);
        SLUICE_RETURN_IF_ERROR(raw_status(fi_pep_bind(raw, &end_.events->fid, 0), "fi_pep_bind"));
        return raw_status(fi_listen(raw), "fi_listen");
    }

    const raw_target_options& options_;
    raw_pool pool_;
    raw_endpoint end_;
    fid_ptr<fid_pep> passive_;
};

absl::Status say(int fd, const raw_hello& hello) {
    if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof hello)) {
        return absl::UnavailableError("the reader has gone");
    }
    return absl::OkStatus();
}

}  // namespace

raw_pool::raw_pool(std::uint64_t bytes) noexcept : pages_(detail::map_pages(bytes)) { fill(); }

void raw_pool::fill() noexcept {
    constexpr std::size_t step = sizeof(std::uint64_t);
    for (std::size_t i = 0; i + step <= pages_.size(); i += step) {
        const std::uint64_t word = raw_pattern(i);
        std::memcpy(pages_.data() + i, &word, step);
    }
}

raw_pool::~raw_pool() { detail::unmap_pages(pages_); }

absl::Status run_raw_target(const raw_target_options& options) {
    target t(options);
    raw_hello hello;
    const absl::Status status = t.prepare(hello);
    if (!status.ok()) {
        const std::string_view text = message_of(status);
        std::copy_n(text.begin(), std::min(text.size(), hello.error.size() - 1),
                    hello.error.begin());
    }
    SLUICE_RETURN_IF_ERROR(say(options.fd, hello));
    if (!status.ok()) {
        return absl::OkStatus();  // it has been told
    }
    SLUICE_RETURN_IF_ERROR(t.accept());
    t.serve();
    return absl::OkStatus();
}

}  // namespace sluice::bench
