// SPDX-License-Identifier: Apache-2.0
// A stage of one's own between fetch and copy: blocks lie run-length encoded in L3 and are decoded
// in L2, on a thread of the stage's own, before they are copied to L1.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/base/status.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/stage/await_operation.hpp>
#include <sluice/stage/coroutine_stage.hpp>
#include <sluice/store/memory_store.hpp>

namespace {

constexpr std::uint32_t block_bytes = 64 * 1024, block_tokens = 16, blocks = 32, slots = 64;

using bytes = std::vector<std::byte>;

// An encoded block fills a slot like any other: how many runs, then length and value of each.
bool decode(std::span<std::byte> block, bytes& scratch) {
    std::uint32_t runs = 0;
    std::memcpy(&runs, block.data(), sizeof runs);
    if (runs > (block.size() - sizeof runs) / 2) {
        return false;
    }
    scratch.clear();
    for (std::size_t i = 0; i < runs; ++i) {
        const std::byte* run = block.data() + sizeof runs + 2 * i;
        scratch.insert(scratch.end(), std::to_integer<std::size_t>(run[0]), run[1]);
    }
    if (scratch.size() != block.size()) {
        return false;
    }
    std::copy(scratch.begin(), scratch.end(), block.begin());
    return true;
}

bytes encode(const bytes& plain) {
    std::uint32_t runs = 0;
    bytes block(plain.size());
    for (std::size_t i = 0, n = 0; i < plain.size(); i += n, ++runs) {
        for (n = 1; n < 255 && i + n < plain.size() && plain[i + n] == plain[i];) {
            ++n;
        }
        block[sizeof runs + 2 * runs] = static_cast<std::byte>(n);
        block[sizeof runs + 2 * runs + 1] = plain[i];
    }
    std::memcpy(block.data(), &runs, sizeof runs);
    return block;
}

// [stage]
/// What it takes to write a stage. What is not OK counts as a miss, and is computed.
class decompress_stage final : public sluice::coroutine_stage {
 public:
    explicit decompress_stage(sluice::loop& home) : coroutine_stage(home) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "decompress"; }

 private:
    sluice::task<absl::Status> run(sluice::block_op& op) override {
        // The loop runs one block at a time between two awaits, so they can share the scratch.
        const bool whole = decode(op.memory, scratch_);
        co_return whole ? absl::OkStatus() : absl::Status(absl::StatusCode::kDataLoss, "");
    }

    bytes scratch_;
};
// [stage]

bytes plain_block(std::uint32_t id) {
    bytes block(block_bytes);
    for (std::size_t i = 0; i < block.size(); ++i) {
        block[i] = static_cast<std::byte>(i / 100 * 7 + id);
    }
    return block;
}

sluice::task<absl::Status> fill(sluice::store& store, sluice::loop& home) {
    for (std::uint32_t id = 0; id < blocks; ++id) {
        const bytes encoded = encode(plain_block(id));
        sluice::awaited<sluice::store_put> put;
        put.key = sluice::block_key::from_u64(id);
        put.from = encoded;
        SLUICE_CO_RETURN_IF_ERROR(co_await put.run(home, [&store](sluice::store_put& op) {
            sluice::store_put* const one = &op;
            store.put(std::span(&one, 1));
        }));
    }
    co_return absl::OkStatus();
}

/// \return how many blocks of the request are in L1, as they were before they were encoded.
std::uint32_t serve(sluice::pipeline& pipe, const bytes& memory) {
    std::vector<sluice::block_key> keys;
    for (std::uint32_t id = 0; id < blocks; ++id) {
        keys.push_back(sluice::block_key::from_u64(id));
    }
    sluice::request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = (blocks + 1) * block_tokens;
    spec.write_back = false;  // stages are on the way in only: plain blocks must not go to L3
    const sluice::request_handle request = pipe.submit(spec).value();

    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    sluice::request_event event;
    while (!sluice::is_outcome(event.kind) || event.request != request) {
        poll(&waiting, 1, -1);
        pipe.poll_events(std::span(&event, 1));
    }
    std::uint32_t right = 0;
    if (event.kind == sluice::event_kind::ready) {
        const std::vector<sluice::slot_id> pages = pipe.pages(request).value();
        for (std::uint32_t i = 0; i < event.blocks; ++i) {
            const bytes expected = plain_block(i);
            const std::byte* page = memory.data() + std::size_t{pages[i]} * block_bytes;
            right += std::equal(expected.begin(), expected.end(), page) ? 1 : 0;
        }
        (void)pipe.compute_done(request);
    }
    (void)pipe.release(request);
    return right;
}

}  // namespace

int main() {
    bytes memory(std::size_t{slots} * block_bytes);
    const auto base = reinterpret_cast<std::uintptr_t>(memory.data());
    sluice::group_layout group;
    group.regions = {{.base = base, .stride = block_bytes, .bytes = block_bytes, .slots = slots}};
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto device = sluice::host_device::create().value();
    const auto store = sluice::memory_store::create().value();

    sluice::thread_loop worker("decompress");
    decompress_stage decompress(worker);
    if (!worker.start().ok() || !sluice::sync_wait(worker, fill(*store, worker)).ok()) {
        std::fprintf(stderr, "the store could not be filled\n");
        return 1;
    }
    sluice::pipeline_options options;
    options.l1 = &l1;
    options.block_tokens = block_tokens;
    options.device = device.get();
    options.store = store.get();
    options.inbound = {&decompress};
    const auto pipe = sluice::pipeline::create(std::move(options)).value();
    const std::uint32_t right = serve(*pipe, memory);
    std::printf("%u of %u blocks decoded into L1\n", right, blocks);
    return right == blocks ? 0 : 1;
}
