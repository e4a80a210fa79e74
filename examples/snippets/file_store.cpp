// SPDX-License-Identifier: Apache-2.0
// A store of one's own: each block is a file. What it takes to write one, and to use it.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/store/store.hpp>

namespace {

std::string path_of(const std::filesystem::path& folder, const sluice::block_key& key) {
    std::string name;
    for (const std::byte b : key.bytes()) {
        constexpr std::string_view digits = "0123456789abcdef";
        name += digits[std::to_integer<unsigned>(b) >> 4];
        name += digits[std::to_integer<unsigned>(b) & 15];
    }
    return folder / name;
}

// [seam]
class file_store final : public sluice::store {
 public:
    // One thread, so that nobody else waits for the disk.
    explicit file_store(std::filesystem::path folder) : folder_(std::move(folder)) {}
    absl::Status start() { return worker_.start(); }

    // A transport pins memory here; files need nothing.
    absl::Status register_memory(std::span<std::byte>) override { return absl::OkStatus(); }
    void unregister_memory(std::span<std::byte>) noexcept override {}

    // Any thread calls these, and none may wait: each hands its operations to the worker.
    void lookup(sluice::store_lookup& op) noexcept override { post(op); }
    void get(std::span<sluice::store_get* const> ops) noexcept override { post_all(ops); }
    void put(std::span<sluice::store_put* const> ops) noexcept override { post_all(ops); }
    void remove(sluice::store_remove& op) noexcept override { post(op); }

    // Called when an operation is overdue. These end by themselves; one that waits for a peer would
    // be given up here, and complete.
    void abort(sluice::operation&) noexcept override {}
    // [seam]

 private:
    // An operation in the worker's queue.
    template <class Op>
    struct job : sluice::work {
        job(file_store& s, Op& o) noexcept
            : work([](sluice::work& w) noexcept {
                  auto& self = static_cast<job&>(w);
                  file_store& store = self.store;
                  Op& op = self.op;
                  delete &self;
                  op.complete(store.carry_out(op));  // last: the operation may be gone after it
              }),
              store(s),
              op(o) {}
        file_store& store;
        Op& op;
    };
    template <class Op>
    void post(Op& op) noexcept {
        worker_.post(*new job<Op>(*this, op));
    }
    template <class Op>
    void post_all(std::span<Op* const> ops) noexcept {
        for (Op* op : ops) {
            post(*op);
        }
    }

    absl::Status carry_out(sluice::store_lookup& op) noexcept {
        std::error_code none;
        for (std::size_t i = 0; i < op.keys.size(); ++i) {
            op.present[i] = std::filesystem::exists(path_of(folder_, op.keys[i]), none) ? 1 : 0;
        }
        return absl::OkStatus();
    }
    // [carry_out]
    absl::Status carry_out(sluice::store_get& op) noexcept {
        std::FILE* file = std::fopen(path_of(folder_, op.key).c_str(), "rb");
        if (file == nullptr) {
            return absl::Status(absl::StatusCode::kNotFound, "");  // a miss: the block is computed
        }
        const bool whole = std::fread(op.into.data(), 1, op.into.size(), file) == op.into.size() &&
                           std::fgetc(file) == EOF;
        std::fclose(file);
        return whole ? absl::OkStatus() : absl::Status(absl::StatusCode::kInvalidArgument, "");
    }
    absl::Status carry_out(sluice::store_put& op) noexcept {
        const std::string path = path_of(folder_, op.key), part = path + ".part";
        std::error_code error;
        if (std::filesystem::exists(path, error)) {
            return absl::OkStatus();  // blocks never change
        }
        std::FILE* file = std::fopen(part.c_str(), "wb");
        const bool written = file != nullptr &&
                             std::fwrite(op.from.data(), 1, op.from.size(), file) == op.from.size();
        if (file != nullptr && std::fclose(file) == 0 && written) {
            std::filesystem::rename(part, path, error);  // visible all at once, or not at all
            return error ? absl::Status(absl::StatusCode::kUnavailable, "") : absl::OkStatus();
        }
        return absl::Status(absl::StatusCode::kResourceExhausted, "");
    }
    // [carry_out]
    absl::Status carry_out(sluice::store_remove& op) noexcept {
        std::error_code none;
        for (const sluice::block_key& key : op.keys) {
            std::filesystem::remove(path_of(folder_, key), none);
        }
        return absl::OkStatus();
    }
    std::filesystem::path folder_;
    sluice::thread_loop worker_{"file_store"};  // ends first: it uses the folder
};

std::uint32_t serve(sluice::pipeline& pipe, std::span<const sluice::block_key> keys) {
    sluice::request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = keys.size() * 16 + 1;
    const sluice::request_handle request = pipe.submit(spec).value();
    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    std::uint32_t loaded = 0;
    for (bool over = false; !over;) {
        poll(&waiting, 1, -1);
        sluice::request_event event;
        while (pipe.poll_events(std::span(&event, 1)) == 1) {
            if (event.kind == sluice::event_kind::ready) {
                loaded = event.blocks;
                (void)pipe.compute_done(request);
            } else {
                over = event.kind == sluice::event_kind::stored;
            }
        }
    }
    (void)pipe.release(request);
    return loaded;
}

}  // namespace

int main() {
    std::string folder = std::filesystem::temp_directory_path() / "sluice-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) {
        return 1;
    }
    file_store store(folder);
    constexpr std::uint32_t page_bytes = 4096, page_count = 64, blocks = 8;
    std::vector<std::byte> kv(std::size_t{page_count} * page_bytes);
    sluice::group_layout group;
    group.regions = {{.base = reinterpret_cast<std::uintptr_t>(kv.data()),
                      .stride = page_bytes,
                      .bytes = page_bytes,
                      .slots = page_count}};
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto device = sluice::host_device::create().value();
    std::vector<sluice::block_key> keys;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        keys.push_back(sluice::block_key::from_u64(i));
    }
    std::array<std::uint32_t, 2> loaded{};
    if (!store.start().ok()) {
        return 1;
    }
    for (std::uint32_t& n : loaded) {  // a pipeline each, so that L1 and L2 are empty
        sluice::pipeline_options options;
        options.l1 = &l1;
        options.device = device.get();
        options.store = &store;
        options.fetch_soft_timeout = std::chrono::seconds(9);  // tests run on busy machines
        n = serve(*sluice::pipeline::create(std::move(options)).value(), keys);
    }
    std::error_code none;
    std::filesystem::remove_all(folder, none);
    std::printf("loaded %u blocks, then %u from files\n", loaded[0], loaded[1]);
    return loaded[0] == 0 && loaded[1] == blocks ? 0 : 1;
}
