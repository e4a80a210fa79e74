// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <sluice/base/checksum.hpp>
#include <sluice/base/status.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/fabric/memory_node.hpp>
#include <sluice/stage/await_operation.hpp>

#include "../src/command/fetch_file.hpp"
#include "../src/command/node_reports.hpp"
#include "../src/command/put_file.hpp"
#include "../src/command/stored_file.hpp"
#include "support/temp_dir.hpp"

// Memory nodes of this process on threads of their own, and clients that this thread drives.

namespace sluice::command {
namespace {

using Catch::Matchers::ContainsSubstring;

constexpr const char* secret = "a secret that both ends know";

std::unique_ptr<memory_node> make_node(std::uint64_t memory = 64 * mib) {
    memory_node_options o;
    o.memory = memory;
    o.secret = secret;
    auto node = memory_node::create(o);
    REQUIRE(node.ok());
    return std::move(*node);
}

std::string some_bytes(std::size_t size, std::uint32_t seed = 1) {
    std::string out(size, '\0');
    std::uint32_t state = seed;
    for (char& c : out) {
        state = state * 1'664'525u + 1'013'904'223u;
        c = static_cast<char>(state >> 24);
    }
    return out;
}

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Two nodes and a client of both.
struct pool {
    explicit pool(std::uint32_t replicas = 1, bool checksums = true) {
        options.nodes = {nodes[0]->address(), nodes[1]->address()};
        options.secret_file = dir.write("secret", secret);
        options.replicas = replicas;
        options.checksums = checksums;
        client = open();
    }

    [[nodiscard]] std::unique_ptr<fabric_client> open() const {
        auto made = fabric_client::open(options);
        REQUIRE(made.ok());
        REQUIRE((*made)->connect().ok());
        return std::move(*made);
    }
    absl::StatusOr<put_file_result> put(const std::string& path, put_file_options o) const {
        auto source = byte_source::open(path);
        REQUIRE(source.ok());
        return put_file(*client, *source, o);
    }
    absl::StatusOr<fetch_file_result> fetch(const std::string& name,
                                            const std::string& path = {}) const {
        auto sink = byte_sink::open(path);
        REQUIRE(sink.ok());
        fetch_file_options o;
        o.name = name;
        o.checksums = options.checksums;
        o.into = &*sink;
        auto result = fetch_file(*client, o);
        if (result.ok() && result->right()) {
            REQUIRE(sink->commit().ok());
        }
        return result;
    }
    /// Drops a block, as a full node does.
    void drop(const block_key& key) const {
        const std::array keys{key};
        drive(client->home(), remove(keys));
    }
    task<void> remove(std::span<const block_key> keys) const {
        awaited<store_remove> op;
        op.keys = keys;
        fabric_store* const store = &client->store();
        const auto start = [store](store_remove& o) { store->remove(o); };
        (void)co_await op.run(client->home(), start);
    }

    sluice_test::temp_dir dir;
    std::array<std::unique_ptr<memory_node>, 2> nodes{make_node(), make_node()};
    fabric_options options;
    std::unique_ptr<fabric_client> client;
};

TEST_CASE("stored file: a manifest is read as it was written", "[fabric]") {
    const file_manifest file{10'000'001, 64 * kib, 0x0123456789abcdef};
    const auto bytes = encode(file);
    CHECK(decode(bytes).value() == file);
    CHECK(file.blocks() == 153);
    CHECK(file.bytes_of(0) == 64 * kib);
    CHECK(file.bytes_of(152) == 10'000'001 - 152 * 64 * kib);
    CHECK(file_manifest{0, mib, 0}.blocks() == 0);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        CAPTURE(i);
        auto damaged = bytes;
        damaged[i] ^= std::byte{1};
        CHECK_FALSE(decode(damaged).ok());
    }
}

TEST_CASE("stored file: a manifest cannot make a reader take what it wants", "[fabric]") {
    // Valid but for what they say.
    const file_manifest bad =
        GENERATE(file_manifest{1, 0, 0}, file_manifest{1, 1, 0}, file_manifest{1, gib, 0},
                 file_manifest{~std::uint64_t{0}, mib, 0},
                 file_manifest{~std::uint64_t{0}, ~std::uint64_t{0}, 0},
                 file_manifest{(most_file_blocks + 1) * least_file_block, least_file_block, 0});
    CHECK(decode(encode(bad)).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("stored file: keys differ by name and number", "[fabric]") {
    const file_keys a("a");
    const file_keys b("b");
    CHECK(a.manifest() != b.manifest());
    CHECK(a.block(0) != a.block(1));
    CHECK(a.block(0) != b.block(0));
    CHECK(a.block(0) != a.manifest());
    CHECK(file_keys("a").block(7) == a.block(7));
}

TEST_CASE("put and fetch: a file comes back as it was", "[fabric]") {
    const pool p;
    // None, less than a block, whole blocks, and more than a window of them.
    const std::size_t size = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{4096},
                                      std::size_t{8192}, std::size_t{5'000'001});
    CAPTURE(size);
    const std::string bytes = some_bytes(size);
    const std::string path = p.dir.write("file", bytes);
    const auto put = p.put(path, {"f", 4 * kib, false});
    INFO(message_of(put.status()));
    REQUIRE(put.ok());
    CHECK(put->file.bytes == size);
    CHECK(put->already_there == 0);
    CHECK(put->file.checksum == checksum64(std::as_bytes(std::span(bytes))));

    const auto fetched = p.fetch("f", p.dir.file("out"));
    REQUIRE(fetched.ok());
    CHECK(fetched->right());
    CHECK(fetched->checksum_right == true);
    CHECK(content_of(p.dir.file("out")) == bytes);
    CHECK_FALSE(std::filesystem::exists(p.dir.file("out.part")));
}

TEST_CASE("put: a name keeps its file unless it is replaced", "[fabric]") {
    const pool p;
    const std::string first = p.dir.write("first", some_bytes(100'000, 1));
    const std::string other = p.dir.write("other", some_bytes(100'000, 2));
    REQUIRE(p.put(first, {"f", 4 * kib, false}).ok());

    CHECK(p.put(first, {"f", 4 * kib, false}).value().already_there == 25);
    p.drop(file_keys("f").block(3));
    CHECK(p.put(first, {"f", 4 * kib, false}).value().already_there == 24);
    CHECK(p.fetch("f").value().right());

    CHECK(p.put(other, {"f", 4 * kib, false}).status().code() == absl::StatusCode::kAlreadyExists);
    CHECK(p.put(first, {"f", 8 * kib, false}).status().code() == absl::StatusCode::kAlreadyExists);
    CHECK(p.fetch("f").value().right());
    REQUIRE(p.put(other, {"f", 8 * kib, true}).ok());
    REQUIRE(p.fetch("f", p.dir.file("out")).value().right());
    CHECK(content_of(p.dir.file("out")) == content_of(other));

    // What a put that was cut short has left is not mixed with another file's blocks.
    p.drop(file_keys("f").manifest());
    REQUIRE(p.put(first, {"f", 8 * kib, false}).ok());
    CHECK(p.fetch("f").value().right());
}

TEST_CASE("fetch: what is missing is named, and no file is left", "[fabric]") {
    const pool p;
    const std::string path = p.dir.write("file", some_bytes(100'000));
    REQUIRE(p.put(path, {"f", 4 * kib, false}).ok());
    p.drop(file_keys("f").block(3));
    p.drop(file_keys("f").block(24));
    const auto fetched = p.fetch("f", p.dir.file("out"));
    REQUIRE(fetched.ok());
    CHECK_FALSE(fetched->right());
    CHECK(fetched->missing == 2);
    REQUIRE(fetched->bad.size() == 2);
    CHECK(fetched->bad[0].number == 3);
    CHECK(fetched->bad[1].number == 24);
    CHECK(fetched->fetched_bytes == 100'000 - 4096 - 100'000 % 4096);
    CHECK_FALSE(std::filesystem::exists(p.dir.file("out")));
    CHECK_FALSE(std::filesystem::exists(p.dir.file("out.part")));

    CHECK(p.fetch("absent").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("fetch: a comparison says where a file differs", "[fabric]") {
    const pool p(1, false);
    std::string bytes = some_bytes(50'000);
    REQUIRE(p.put(p.dir.write("file", bytes), {"f", 4 * kib, false}).ok());
    const auto compare = [&](const std::string& with) {
        auto other = byte_source::open(p.dir.write("other", with));
        REQUIRE(other.ok());
        fetch_file_options o;
        o.name = "f";
        o.checksums = false;
        o.verify = &*other;
        const auto result = fetch_file(*p.client, o);
        REQUIRE(result.ok());
        CHECK_FALSE(result->checksum_right.has_value());
        return result->differs_at;
    };
    CHECK(compare(bytes) == std::nullopt);
    CHECK(compare(bytes.substr(0, 30'000)) == 30'000);
    CHECK(compare(bytes + 'x') == 50'000);
    bytes[12'345] = static_cast<char>(bytes[12'345] ^ 1);
    CHECK(compare(bytes) == 12'345);
}

TEST_CASE("put: blocks without room are no stored file", "[fabric]") {
    const pool p;
    const std::string path = p.dir.write("file", some_bytes(40 * mib));
    // No block of 32 MiB fits into what a node has for a client's puts.
    const auto put = p.put(path, {"f", 32 * mib, false});
    CHECK(put.status().code() == absl::StatusCode::kResourceExhausted);
    CHECK(p.fetch("f").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("fetch: a second replica stands in for a lost node", "[fabric]") {
    pool p(2);
    const std::string path = p.dir.write("file", some_bytes(300'000));
    REQUIRE(p.put(path, {"f", 4 * kib, false}).ok());
    p.nodes[0].reset();
    CHECK(p.fetch("f").value().right());
    const auto reports = p.client->inspect();
    CHECK_THAT(node_complaints(reports), ContainsSubstring(p.options.nodes[0]));
    CHECK_THAT(node_complaints(reports), !ContainsSubstring(p.options.nodes[1]));
    CHECK(is_ready(reports[1]));
    // Also what is new finds a place.
    CHECK(p.put(path, {"g", 4 * kib, false}).ok());
    CHECK(p.fetch("g").value().right());
}

TEST_CASE("fabric client: a wrong secret is named", "[fabric]") {
    pool p;
    p.options.secret_file = p.dir.write("wrong", "another secret than theirs");
    auto client = fabric_client::open(p.options);
    REQUIRE(client.ok());
    const absl::Status status = (*client)->connect();
    CHECK(status.code() == absl::StatusCode::kUnavailable);
    CHECK_THAT(std::string(message_of(status)), ContainsSubstring("secret"));
    const auto json = node_json((*client)->inspect());
    REQUIRE(json.size() == 2);
    CHECK(json[0].at("state") == "down");
    CHECK(json[0].at("answered") == false);
}

TEST_CASE("byte stream: a pipe is read and written as it comes", "[fabric]") {
    const sluice_test::temp_dir dir;
    const std::string fifo = dir.file("fifo");
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    const std::string bytes = some_bytes(300'000);  // more than a pipe holds
    std::string got;
    std::thread reader([&] { got = content_of(fifo); });
    thread_loop home;
    {
        auto sink = byte_sink::open(fifo);
        REQUIRE(sink.ok());
        CHECK(drive(home, sink->write(home, std::as_bytes(std::span(bytes)))).ok());
        CHECK(sink->commit().ok());
    }
    reader.join();
    CHECK(got == bytes);

    std::thread writer([&] { std::ofstream(fifo, std::ios::binary) << bytes; });
    auto source = byte_source::open(fifo);
    REQUIRE(source.ok());
    CHECK_FALSE(source->size().has_value());
    std::string read(bytes.size() + 1, '\0');
    const auto n = drive(home, source->read(home, std::as_writable_bytes(std::span(read))));
    writer.join();
    CHECK(n.value() == bytes.size());
    CHECK(read.substr(0, bytes.size()) == bytes);
}

/// What the built command does with these arguments.
int run_command(const std::string& arguments, const std::string& output) {
    const std::string line =
        std::string(SLUICE_COMMAND) + ' ' + arguments + " >" + output + " 2>&1";
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("sluice put, sluice fetch: exit codes and what they print", "[fabric]") {
    const pool p;
    const std::string all = " --node " + p.options.nodes[0] + " --node " + p.options.nodes[1] +
                            " --secret-file " + p.options.secret_file;
    const std::string out = p.dir.file("printed");
    const std::string path = p.dir.write("file", some_bytes(100'000));
    const std::string other = p.dir.write("other", some_bytes(100'000, 2));

    CHECK(run_command("put " + path + all + " --block-size 4KiB", out) == 0);
    CHECK_THAT(content_of(out), ContainsSubstring("file: 25 blocks"));
    CHECK(run_command("put " + other + all + " --name file", out) == 1);
    CHECK_THAT(content_of(out), ContainsSubstring("--replace"));
    CHECK(run_command("put - --name piped" + all + " <" + other, out) == 0);
    CHECK(run_command("put -" + all + " <" + other, out) == 2);

    CHECK(run_command("fetch file" + all + " --verify " + path, out) == 0);
    CHECK_THAT(content_of(out), ContainsSubstring("the file's checksum is right"));
    CHECK(run_command("fetch file" + all + " --verify " + other, out) == 1);
    CHECK(run_command("fetch piped" + all + " --out " + p.dir.file("back"), out) == 0);
    CHECK(content_of(p.dir.file("back")) == content_of(other));
    CHECK(run_command("fetch absent" + all, out) == 1);
    CHECK_THAT(content_of(out), ContainsSubstring("no such file"));
    p.drop(file_keys("file").block(7));
    CHECK(run_command("fetch file" + all + " --json -", out) == 1);
    CHECK_THAT(content_of(out), ContainsSubstring("\"missing\": 1"));

    CHECK(run_command("fetch --health" + all, out) == 0);
    CHECK_THAT(content_of(out), ContainsSubstring(p.options.nodes[1]));
    CHECK(run_command("fetch --health" + all + " --node tcp://127.0.0.1:1 --json -", out) == 1);
    CHECK_THAT(content_of(out), ContainsSubstring("\"down\""));
    CHECK(run_command("fetch" + all, out) == 2);
    CHECK(run_command("put /absent" + all, out) == 2);
}

}  // namespace
}  // namespace sluice::command
