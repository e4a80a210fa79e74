// SPDX-License-Identifier: Apache-2.0
#include "fetch_file.hpp"

#include <algorithm>
#include <deque>
#include <utility>

#include <sluice/base/status.hpp>
#include <sluice/coro/event.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/observe/result.hpp>

#include "../node/running_checksum.hpp"
#include "put_file.hpp"

namespace sluice::command {
namespace {

constexpr std::uint64_t ring_bytes = 16 * mib;
constexpr std::uint64_t most_at_once = 256;  // blocks

/// One place of the ring, and the get that fills it.
struct place : store_get {
    explicit place(loop& l) noexcept : home(l), landed(l) {}

    loop& home;
    event landed;
    std::span<std::byte> memory;
    time_point begun{};
    double took_s = 0;
};

class fetching {
 public:
    static std::uint64_t window_of(const file_manifest& file) {
        return std::clamp<std::uint64_t>(ring_bytes / file.block_bytes, 1, most_at_once);
    }

    fetching(fabric_client& client, const fetch_file_options& options, const file_manifest& file,
             std::span<std::byte> ring)
        : client_(client), options_(options), keys_(options.name), window_(window_of(file)) {
        out_.file = file;
        for (std::uint64_t i = 0; i < window_; ++i) {
            places_.emplace_back(client.home());
            places_.back().memory = ring.subspan(i * file.block_bytes, file.block_bytes);
        }
        if (options.verify != nullptr) {
            compared_.resize(file.block_bytes);
        }
    }

    task<absl::StatusOr<fetch_file_result>> run() {
        const time_point begun = client_.home().now();
        const std::uint64_t blocks = out_.file.blocks();
        absl::Status status;
        std::uint64_t next = 0;
        for (; next < blocks && status.ok(); ++next) {
            // Several at once, or the store could not read neighbours as one.
            if (started_ - next <= window_ / 2) {
                start(std::min(blocks, next + window_));
            }
            place& p = places_[next % window_];
            co_await p.landed;
            status = co_await take(p, next);
        }
        for (; next < started_; ++next) {
            co_await places_[next % window_].landed;
        }
        if (!status.ok()) {
            co_return status;
        }
        out_.seconds = to_seconds(client_.home().now() - begun);
        status = co_await compare_end();
        if (!status.ok()) {
            co_return status;
        }
        finish();
        co_return std::move(out_);
    }

 private:
    void start(std::uint64_t end) {
        std::vector<store_get*> ops;
        const time_point now = client_.home().now();
        for (; started_ < end; ++started_) {
            place& p = places_[started_ % window_];
            p.landed.reset();
            p.begun = now;
            p.key = keys_.block(started_);
            p.into = p.memory.first(out_.file.bytes_of(started_));
            p.on_completion(client_.home(), [](operation& o) noexcept {
                auto& self = static_cast<place&>(o);
                self.took_s = to_seconds(self.home.now() - self.begun);
                self.landed.set();
            });
            ops.push_back(&p);
        }
        client_.store().get(ops);
    }

    task<absl::Status> take(const place& p, std::uint64_t number) {
        if (!p.status().ok()) {
            note_bad(number, p.status().code());
            co_return co_await skip_compared(p.into.size());
        }
        times_.push_back(p.took_s);
        out_.fetched_bytes += p.into.size();
        if (options_.checksums) {
            sum_.add(p.into);
        }
        if (options_.into != nullptr && out_.bad_blocks() == 0) {
            absl::Status written = co_await options_.into->write(client_.home(), p.into);
            if (!written.ok()) {
                co_return written;
            }
        }
        co_return co_await compare(p.into, number);
    }

    void note_bad(std::uint64_t number, absl::StatusCode why) {
        switch (why) {
        case absl::StatusCode::kNotFound: ++out_.missing; break;
        // Another size than the manifest says is as wrong as other bytes.
        case absl::StatusCode::kInvalidArgument:
        case absl::StatusCode::kDataLoss: ++out_.damaged; break;
        default: ++out_.failed;
        }
        if (out_.bad.size() < fetch_file_result::most_listed) {
            out_.bad.push_back({number, why});
        }
    }

    task<absl::Status> skip_compared(std::size_t bytes) {
        if (options_.verify != nullptr) {
            const auto got =
                co_await options_.verify->read(client_.home(), std::span(compared_).first(bytes));
            co_return got.status();
        }
        co_return absl::OkStatus();
    }

    task<absl::Status> compare(std::span<const std::byte> bytes, std::uint64_t number) {
        if (options_.verify == nullptr || out_.differs_at.has_value()) {
            co_return absl::OkStatus();
        }
        const auto got = co_await options_.verify->read(client_.home(),
                                                        std::span(compared_).first(bytes.size()));
        if (!got.ok()) {
            co_return got.status();
        }
        const auto there = compared_.begin() + static_cast<std::ptrdiff_t>(*got);
        const auto at = std::mismatch(compared_.begin(), there, bytes.begin()).first;
        if (at != there || *got < bytes.size()) {
            out_.differs_at =
                number * out_.file.block_bytes + static_cast<std::uint64_t>(at - compared_.begin());
        }
        co_return absl::OkStatus();
    }

    // The other file may go on.
    task<absl::Status> compare_end() {
        if (options_.verify == nullptr || out_.differs_at.has_value()) {
            co_return absl::OkStatus();
        }
        const auto got =
            co_await options_.verify->read(client_.home(), std::span(compared_).first(1));
        if (got.ok() && *got > 0) {
            out_.differs_at = out_.file.bytes;
        }
        co_return got.status();
    }

    void finish() {
        std::sort(times_.begin(), times_.end());
        out_.p50_s = percentile(times_, 50);
        out_.p99_s = percentile(times_, 99);
        if (options_.checksums && out_.bad_blocks() == 0) {
            out_.checksum_right = sum_.value() == out_.file.checksum;
        }
    }

    fabric_client& client_;
    const fetch_file_options& options_;
    const file_keys keys_;
    const std::uint64_t window_;
    std::deque<place> places_;
    std::uint64_t started_ = 0;
    std::vector<std::byte> compared_;
    std::vector<double> times_;
    node::running_checksum sum_;
    fetch_file_result out_;
};

}  // namespace

absl::StatusOr<fetch_file_result> fetch_file(fabric_client& client,
                                             const fetch_file_options& options) {
    const absl::StatusOr<file_manifest> file =
        drive(client.home(), read_manifest(client, file_keys(options.name)));
    SLUICE_RETURN_IF_ERROR(file.status());
    auto ring =
        registered_memory::create(client.store(), fetching::window_of(*file) * file->block_bytes);
    SLUICE_RETURN_IF_ERROR(ring.status());
    fetching run(client, options, *file, ring->bytes());
    return drive(client.home(), run.run());
}

}  // namespace sluice::command
