// SPDX-License-Identifier: Apache-2.0
#include "put_file.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/coro/completion.hpp>
#include <sluice/coro/event.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/when_all.hpp>
#include <sluice/stage/await_operation.hpp>

#include "../node/running_checksum.hpp"

namespace sluice::command {
namespace {

constexpr std::uint64_t half_ring = 32 * mib;
constexpr std::uint64_t most_at_once = 512;  // blocks of a half

/// One of several puts that are waited for together.
struct counted_put : store_put {
    latch* left = nullptr;
};

/// Puts one file: while one half of the ring is on its way, the other is read.
class putting {
 public:
    putting(fabric_client& client, byte_source& from, const file_keys& keys,
            std::uint64_t block_bytes, bool known, std::span<std::byte> ring)
        : client_(client),
          from_(from),
          keys_(keys),
          known_(known),
          at_once_(std::clamp<std::uint64_t>(half_ring / block_bytes, 1, most_at_once)),
          ring_(ring) {
        file_.block_bytes = block_bytes;
        file_.checksum = sum_.value();
    }

    static std::size_t ring_bytes(std::uint64_t block_bytes) {
        return 2 * block_bytes *
               std::clamp<std::uint64_t>(half_ring / block_bytes, 1, most_at_once);
    }

    task<absl::Status> run() {
        std::vector<task<void>> halves;
        for (std::size_t i = 0; i < 2; ++i) {
            halves.push_back(work_on(ring_.subspan(i * ring_.size() / 2, ring_.size() / 2)));
        }
        co_await when_all(std::move(halves));
        if (status_.ok() && !failures_.empty()) {
            status_ = failure();
        }
        co_return status_;
    }

    [[nodiscard]] const file_manifest& file() const noexcept { return file_; }
    [[nodiscard]] std::uint64_t already_there() const noexcept { return already_there_; }

 private:
    struct batch {
        std::uint64_t first = 0;
        std::vector<std::span<const std::byte>> blocks;
        std::vector<block_key> keys;
    };

    task<void> work_on(std::span<std::byte> half) {
        while (status_.ok() && !at_end_) {
            // One half reads at a time, or blocks would be mixed up.
            while (reading_) {
                turn_.reset();
                co_await turn_;
            }
            reading_ = true;
            batch b;
            co_await fill(half, b);
            reading_ = false;
            turn_.set();
            if (status_.ok() && !b.blocks.empty()) {
                co_await prepare(b);
                co_await store_all(b);
            }
        }
    }

    task<void> fill(std::span<std::byte> half, batch& b) {
        b.first = file_.blocks();
        while (!at_end_ && status_.ok() && b.blocks.size() < at_once_) {
            const std::span<std::byte> into =
                half.subspan(b.blocks.size() * file_.block_bytes, file_.block_bytes);
            const absl::StatusOr<std::size_t> got = co_await from_.read(client_.home(), into);
            if (!got.ok()) {
                status_ = got.status();
                co_return;
            }
            at_end_ = *got < into.size();
            if (*got == 0) {
                co_return;
            }
            b.blocks.push_back(into.first(*got));
            b.keys.push_back(keys_.block(file_.blocks()));
            sum_.add(b.blocks.back());
            file_.bytes += *got;
            file_.checksum = sum_.value();
            status_ = check(file_);
        }
    }

    // A file that is there is completed. Blocks without a manifest are what is left of another one.
    task<void> prepare(const batch& b) {
        fabric_store* const nodes = &client_.store();
        if (!known_) {
            awaited<store_remove> remove;
            remove.keys = b.keys;
            const auto start = [nodes](store_remove& o) { nodes->remove(o); };
            (void)co_await remove.run(client_.home(), start);
            co_return;
        }
        std::vector<std::uint8_t> present(b.keys.size());
        awaited<store_lookup> lookup;
        lookup.keys = b.keys;
        lookup.present = present;
        const auto start = [nodes](store_lookup& o) { nodes->lookup(o); };
        (void)co_await lookup.run(client_.home(), start);
        already_there_ += static_cast<std::uint64_t>(std::count(present.begin(), present.end(), 1));
    }

    // Also what is there already: a replica may be missing, and a node refuses a copy cheaply.
    task<void> store_all(const batch& b) {
        latch left(client_.home(), static_cast<std::uint32_t>(b.blocks.size()));
        std::deque<counted_put> puts;
        std::vector<store_put*> ops;
        for (std::size_t i = 0; i < b.blocks.size(); ++i) {
            counted_put& put = puts.emplace_back();
            put.left = &left;
            put.key = b.keys[i];
            put.from = b.blocks[i];
            put.on_completion(client_.home(), [](operation& o) noexcept {
                static_cast<counted_put&>(o).left->count_down();
            });
            ops.push_back(&put);
        }
        client_.store().put(ops);
        co_await left;
        for (const counted_put& put : puts) {
            if (!put.status().ok()) {
                ++failures_[put.status().code()];
            }
        }
    }

    [[nodiscard]] absl::Status failure() const {
        std::uint64_t count = 0;
        auto most = failures_.begin();
        for (auto at = failures_.begin(); at != failures_.end(); ++at) {
            count += at->second;
            most = at->second > most->second ? at : most;
        }
        const char* const why =
            most->first == absl::StatusCode::kResourceExhausted ? "no room at their nodes"
            : most->first == absl::StatusCode::kUnavailable     ? "their nodes cannot be reached"
            : most->first == absl::StatusCode::kDeadlineExceeded
                ? "their nodes did not answer in time"
                : "their nodes refused them";
        return absl::Status(most->first, fmt::format("{} of {} blocks could not be put: {}", count,
                                                     file_.blocks(), why));
    }

    fabric_client& client_;
    byte_source& from_;
    const file_keys& keys_;
    const bool known_;
    const std::uint64_t at_once_;
    const std::span<std::byte> ring_;
    file_manifest file_;
    node::running_checksum sum_;
    std::uint64_t already_there_ = 0;
    bool at_end_ = false;
    bool reading_ = false;
    event turn_{client_.home()};
    absl::Status status_;
    std::map<absl::StatusCode, std::uint64_t> failures_;
};

task<absl::Status> put_manifest(fabric_client& client, const file_keys& keys,
                                const file_manifest& file, std::span<std::byte> memory) {
    const auto bytes = encode(file);
    std::copy(bytes.begin(), bytes.end(), memory.begin());
    awaited<store_put> put;
    put.key = keys.manifest();
    put.from = memory.first(bytes.size());
    fabric_store* const nodes = &client.store();
    const auto start = [nodes](store_put& o) {
        store_put* ops[] = {&o};
        nodes->put(ops);
    };
    absl::Status status = co_await put.run(client.home(), start);
    if (!status.ok()) {
        status = absl::Status(status.code(),
                              "the manifest could not be put: its node is down, or "
                              "it has no room");
    }
    co_return status;
}

// The manifest goes first: without it the rest is only leftovers.
task<absl::Status> remove_file(fabric_client& client, const file_keys& keys,
                               const file_manifest& file) {
    constexpr std::uint64_t at_once = 64 * 1024;
    std::vector<block_key> names{keys.manifest()};
    fabric_store* const nodes = &client.store();
    for (std::uint64_t next = 0; !names.empty();) {
        awaited<store_remove> remove;
        remove.keys = names;
        const auto start = [nodes](store_remove& o) { nodes->remove(o); };
        absl::Status status = co_await remove.run(client.home(), start);
        if (!status.ok()) {
            co_return status;
        }
        names.clear();
        for (; next < file.blocks() && names.size() < at_once; ++next) {
            names.push_back(keys.block(next));
        }
    }
    co_return absl::OkStatus();
}

absl::StatusOr<std::uint64_t> checksum_of(byte_source& from, std::span<std::byte> buffer) {
    node::running_checksum sum;
    for (;;) {
        const absl::StatusOr<std::size_t> got = from.read_blocking(buffer);
        if (!got.ok()) {
            return got.status();
        }
        sum.add(buffer.first(*got));
        if (*got < buffer.size()) {
            absl::Status status = from.rewind();
            return status.ok() ? absl::StatusOr<std::uint64_t>(sum.value()) : status;
        }
    }
}

/// Whether the source has the very bytes that are stored, in blocks of the same size.
absl::StatusOr<bool> is_same(byte_source& from, const file_manifest& there,
                             std::uint64_t block_bytes, std::span<std::byte> buffer) {
    if (there.block_bytes != block_bytes || from.size() != there.bytes) {
        return false;
    }
    const absl::StatusOr<std::uint64_t> sum = checksum_of(from, buffer);
    if (!sum.ok()) {
        return sum.status();
    }
    return *sum == there.checksum;
}

/// Without a manifest. Of several replicas the ones that answer are enough: none of them has it.
bool may_be_put(const absl::Status& manifest, const fabric_client& client) {
    switch (manifest.code()) {
    case absl::StatusCode::kNotFound: return true;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded: return client.replicas() > 1;
    default: return false;
    }
}

}  // namespace

task<absl::StatusOr<file_manifest>> read_manifest(fabric_client& client, const file_keys& keys) {
    auto memory = registered_memory::create(client.store(), manifest_bytes);
    if (!memory.ok()) {
        co_return memory.status();
    }
    awaited<store_get> get;
    get.key = keys.manifest();
    get.into = memory->bytes();
    fabric_store* const nodes = &client.store();
    const auto start = [nodes](store_get& o) {
        store_get* ops[] = {&o};
        nodes->get(ops);
    };
    const absl::Status status = co_await get.run(client.home(), start);
    switch (status.code()) {
    case absl::StatusCode::kOk: break;
    case absl::StatusCode::kInvalidArgument:
        co_return absl::DataLossError("what is stored under this name is no file");
    case absl::StatusCode::kDataLoss:
        co_return absl::DataLossError("the file's manifest came damaged");
    case absl::StatusCode::kNotFound: co_return absl::NotFoundError("no such file is stored");
    default:
        co_return absl::Status(status.code(),
                               "a node that may have the file's manifest does not answer");
    }
    co_return decode(memory->bytes().first<manifest_bytes>());
}

absl::StatusOr<put_file_result> put_file(fabric_client& client, byte_source& from,
                                         const put_file_options& options) {
    SLUICE_RETURN_IF_ERROR(check({from.size().value_or(0), options.block_bytes, 0}));
    const file_keys keys(options.name);
    auto ring = registered_memory::create(client.store(), putting::ring_bytes(options.block_bytes));
    SLUICE_RETURN_IF_ERROR(ring.status());

    absl::StatusOr<file_manifest> there = drive(client.home(), read_manifest(client, keys));
    if (there.status().code() == absl::StatusCode::kDataLoss && options.replace) {
        there = file_manifest{0, options.block_bytes, 0};
    } else if (!there.ok() && !may_be_put(there.status(), client)) {
        return there.status();
    }
    if (there.ok() && options.replace) {
        SLUICE_RETURN_IF_ERROR(drive(client.home(), remove_file(client, keys, *there)));
    } else if (there.ok()) {
        const auto same = is_same(from, *there, options.block_bytes, ring->bytes());
        SLUICE_RETURN_IF_ERROR(same.status());
        if (!*same) {
            return absl::AlreadyExistsError(fmt::format(
                "a file of {} bytes in blocks of {} is stored under this name, and {}; choose "
                "another --name, or --replace it",
                there->bytes, there->block_bytes,
                from.size().has_value() ? "it is not this one"
                                        : "standard input cannot be compared with it"));
        }
    }

    const bool known = there.ok() && !options.replace;
    const time_point begun = client.home().now();
    putting run(client, from, keys, options.block_bytes, known, ring->bytes());
    SLUICE_RETURN_IF_ERROR(drive(client.home(), run.run()));
    if (known && run.file() != *there) {
        return absl::AbortedError(fmt::format("{} changed while it was read", from.name()));
    }
    SLUICE_RETURN_IF_ERROR(
        drive(client.home(), put_manifest(client, keys, run.file(), ring->bytes())));
    return put_file_result{run.file(), run.already_there(),
                           to_seconds(client.home().now() - begun)};
}

}  // namespace sluice::command
