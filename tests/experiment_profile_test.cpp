// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>
#include <sluice/coro/virtual_loop.hpp>
#include <sluice/sim/prefill.hpp>

#include "../src/experiment/kv_model.hpp"
#include "../src/experiment/named_input.hpp"
#include "../src/experiment/profile.hpp"
#include "../src/workload/random.hpp"
#include "support/mutate_json.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::experiment;
namespace sim = sluice::sim;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using sluice::stage_id;

namespace {

// One of each kind of line; the tests below replace some.
constexpr std::string_view full_profile = R"({
"name": "full", "description": "all keys", "reasons": ["one", "two"],
"scale": 2,
"block_tokens": 16, "l1_bytes": 1e9, "l2_bytes": 2000000000,
"link": {"rate_bytes_per_s": 1e9, "per_operation_s": 1e-6, "soft_timeout_s": 0.5,
"drift": [{"at_s": 1, "factor": 0.5}, {"at_s": 2, "factor": 1}]},
"nodes": [
{"count": 2, "rate_bytes_per_s": 1e9, "per_operation_s": 1e-6, "latency_s": 1e-5, "jitter_s": 1e-6, "loss": 0.01,
"events": [{"at_s": 1, "what": "rate", "factor": 0.1}, {"at_s": 2, "what": "hang"}, {"at_s": 3, "what": "recover"},
{"at_s": 4, "what": "die"}]},
{}],
"replicas": 2,
"copy": {"rate_bytes_per_s": 1e9, "per_operation_s": 1e-6, "per_descriptor_s": 1e-7, "streams": 2, "pieces_per_block": 4},
"fetch_window": {"operations": 4, "bytes": 1e6},
"copy_window": {"operations": 2, "bytes": 2e6},
"compute": {"kind": "iteration", "parameters": 8e9, "c0_s": 0.01, "c1_s": 1e-4, "c2_s": 1e-9,
"decode": [{"batch": 1, "step_s": 0.01}, {"batch": 8, "step_s": 0.02}], "max_batch": 4, "chunk_tokens": 512}
})";

/// The profile with its line `number` (from 1) replaced.
std::string with_line(std::size_t number, std::string_view line) {
    std::string out(full_profile);
    std::size_t begin = 0;
    for (std::size_t i = 1; i < number; ++i) {
        begin = out.find('\n', begin) + 1;
    }
    return out.replace(begin, out.find('\n', begin) - begin, line);
}

std::string message_of(const absl::Status& status) {
    return std::string(sluice::message_of(status));
}

/// Everything that is made of a profile.
absl::Status make_hardware(const hardware_profile& p) {
    sluice::virtual_loop on;
    const auto network = sim::network::create({p.nodes, p.replicas, 1}, on);
    SLUICE_RETURN_IF_ERROR(network.status());
    SLUICE_RETURN_IF_ERROR(sim::link::create(**network, p.link).status());
    SLUICE_RETURN_IF_ERROR(sim::copy_engine::create(p.copy, on).status());
    SLUICE_RETURN_IF_ERROR(sim::prefill::create(p.prefill, on).status());
    return sim::iteration_engine::create(p.iteration, {}, {}, on).status();
}

}  // namespace

TEST_CASE("kv_model: bytes per token of the public configurations", "[experiment]") {
    CHECK(load_kv_model("llama3.1-8b").value().kv_bytes_per_token() == 131'072);
    CHECK(load_kv_model("qwen2.5-14b").value().kv_bytes_per_token() == 196'608);
}

TEST_CASE("kv_model: files", "[experiment]") {
    const sluice_test::temp_dir dir;
    const auto model = load_kv_model(dir.write("m.json", R"({"name": "m", "layers": 2,
        "kv_heads": 3, "head_dim": 4, "bytes_per_value": 1, "parameters": 1e6})"));
    REQUIRE(model.ok());
    CHECK(model->kv_bytes_per_token() == 48);

    const auto& [text, what] = GENERATE(table<std::string, std::string>({
        {"[]", "m.json:1: an array where an object should be"},
        {"{}", "m.json:1: key 'name' is missing"},
        {"{\"name\": \"m\",\n\"layers\": 0}", "m.json:2: key 'layers' is 0, below 1"},
        {"{\"name\": \"m\",\n\"layers\": 1e9}", "m.json:2: key 'layers' is 1000000000, above"},
        {"{\"name\": \"m\", \"layers\": 1, \"kv_heads\": 1, \"head_dim\": 1, \"parameters\": 1,\n"
         "\"heads\": 8}",
         "m.json:2: unknown key 'heads'; known: name, description, layers"},
    }));
    const auto bad = load_kv_model(dir.write("m.json", text));
    REQUIRE_FALSE(bad.ok());
    CHECK_THAT(message_of(bad.status()), StartsWith(dir.path() + '/' + what));
}

TEST_CASE("inputs that are neither built in nor files", "[experiment]") {
    const auto model = load_kv_model("gpt");
    CHECK(model.status().code() == absl::StatusCode::kNotFound);
    CHECK(
        message_of(model.status()) ==
        "model 'gpt' is not known; there are llama2-7b, llama3-70b, llama3.1-8b, qwen2.5-14b, and "
        "files FILE.json");
    CHECK(load_kv_model("/absent/m.json").status().code() == absl::StatusCode::kNotFound);
    CHECK(load_profile("absent.json").status().code() == absl::StatusCode::kNotFound);
    CHECK_THAT(message_of(load_profile("x").status()), ContainsSubstring("calvo-testbed"));
}

TEST_CASE("profile: all built-in ones are good", "[experiment]") {
    for (const std::string& name : builtin_profiles()) {
        CAPTURE(name);
        const auto profile = load_profile(name);
        REQUIRE(profile.ok());
        CHECK(profile->name == name);
        CHECK_FALSE(profile->reasons.empty());
        for (const std::string& model : builtin_kv_models()) {
            CAPTURE(model);
            const auto fitted = profile->for_model(load_kv_model(model).value());
            if (fitted.ok()) {
                CHECK(make_hardware(*fitted).ok());
            } else {  // 70B and one GPU
                CHECK(model != profile->model);
                CHECK_THAT(message_of(fitted.status()), ContainsSubstring("l1_bytes"));
            }
        }
    }
}

TEST_CASE("profile: calvo-testbed is what its reasons say", "[experiment]") {
    const auto model = load_kv_model("llama3.1-8b").value();
    const hardware_profile p = load_profile("calvo-testbed")->for_model(model).value();
    CHECK(p.l1_bytes == std::uint64_t{52} << 30);
    CHECK(p.l2_bytes == std::uint64_t{64} << 30);
    const std::uint64_t block_bytes = model.kv_bytes_per_token() * p.block_tokens;
    CHECK(block_bytes == 32 << 20);
    const auto cost = profiled_cost_model(p, block_bytes);
    REQUIRE(cost.ok());
    // The mean context is not a whole number of blocks, but the stages' times are lines.
    const double blocks = 28'300.0 / 256;
    const auto load = [&](stage_id stage) {
        const double hundred = (*cost)->predict(stage, {block_bytes * 100, 100, 0, 0});
        const double two_hundred = (*cost)->predict(stage, {block_bytes * 200, 200, 0, 0});
        return hundred + (two_hundred - hundred) * (blocks - 100) / 100;
    };
    const double fetch = load(stage_id::fetch);
    const double copy = load(stage_id::copy);
    const double compute = (*cost)->predict(stage_id::compute, {0, 0, 61, 28'300});
    const double whole = fetch + copy + compute;
    // The scale is such that it is 0.75 s for what seeds 1 to 5 draw, whose mean is not quite that.
    CHECK_THAT(whole, WithinRel(0.75, 0.005));
    CHECK_THAT(fetch / whole, WithinAbs(0.492, 0.001));
    CHECK_THAT(copy / whole, WithinAbs(0.435, 0.001));
    CHECK_THAT(compute / whole, WithinAbs(0.073, 0.001));
}

TEST_CASE("profile: the profiled cost model knows the hardware", "[experiment]") {
    const hardware_profile p = load_profile("a100-25g").value();
    const auto cost = profiled_cost_model(p, 32 << 20).value();
    const auto fetch = cost->load(stage_id::fetch);
    CHECK_THAT(fetch.per_byte_s, WithinRel(1 / 2.875e9, 1e-3));
    CHECK_THAT(cost->load(stage_id::copy).per_byte_s, WithinRel(1 / 25e9, 1e-3));
    CHECK(cost->compute().c2_s == p.prefill.c2_s);
    CHECK(fetch.r2 > 0.9999);
}

TEST_CASE("profile: every key", "[experiment]") {
    const sluice_test::temp_dir dir;
    const auto loaded = load_profile(dir.write("p.json", full_profile));
    REQUIRE(loaded.ok());
    const hardware_profile& p = *loaded;
    CHECK(p.name == "full");
    CHECK(p.reasons.size() == 2);
    CHECK(p.block_tokens == 16);
    CHECK(p.l1_bytes == 1'000'000'000);
    // All times of the hardware are scaled, those of a run are not.
    CHECK(p.link.rate == 0.5e9);
    CHECK(p.link.per_operation == std::chrono::microseconds(2));
    CHECK(p.link.soft_timeout == std::chrono::milliseconds(500));
    REQUIRE(p.link.drift.size() == 2);
    CHECK(p.link.drift[0].at == sluice::time_point(std::chrono::seconds(1)));
    CHECK(p.link.drift[0].factor == 0.5);
    REQUIRE(p.nodes.size() == 3);
    CHECK(p.nodes[1].latency == std::chrono::microseconds(20));
    CHECK(p.nodes[1].loss == 0.01);
    REQUIRE(p.nodes[1].events.size() == 4);
    CHECK(p.nodes[1].events[3].what == sim::node_change::die);
    CHECK(p.nodes[2].rate == 0);
    CHECK(p.replicas == 2);
    CHECK(p.copy.per_descriptor == std::chrono::nanoseconds(200));
    CHECK(p.pieces_per_block == 4);
    CHECK(p.copy_window.bytes == 2'000'000);
    CHECK(p.compute == compute_kind::iteration);
    CHECK(p.prefill.c0_s == 0.02);
    CHECK(p.iteration.prefill_per_token_s == 2e-4);
    CHECK(p.iteration.decode.size() == 2);
    CHECK(p.iteration.decode[1].seconds == 0.04);
    CHECK(p.iteration.max_batch == 4);
    CHECK(p.iteration.chunk_tokens == 512);
    CHECK(make_hardware(p).ok());
}

TEST_CASE("profile: what is wrong with a file, and where", "[experiment]") {
    struct example {
        std::size_t line;
        const char* in_its_place;
        const char* what;
    };
    const example e = GENERATE(values<example>({
        {2, R"("description": "no name",)", "1: key 'name' is missing"},
        {2, R"("name": "x", "reasons": "one",)", "2: key 'reasons' is no array of texts"},
        {2, R"("name": "x", "reasons": [1],)", "2: key 'reasons' is no array of texts"},
        {2, R"("name": "x", "gpu": "H100",)", "2: unknown key 'gpu'; known: name"},
        {3, R"("scale": 0,)", "3: key 'scale' is 0, below 1e-06"},
        {3, R"("scale": 2, "scale": 3,)", "3: key 'scale' stands twice, first in line 3"},
        {4, R"("block_tokens": 16, "l1_bytes": 1e9,)", "1: key 'l2_bytes' is missing"},
        {4, R"("block_tokens": 0, "l1_bytes": 1, "l2_bytes": 1,)",
         "4: key 'block_tokens' is 0, below 1"},
        {4, R"("block_tokens": 1, "l1_bytes": -1, "l2_bytes": 1,)",
         "4: key 'l1_bytes' is -1, below 1"},
        {5, R"("link": {"rate_bytes_per_s": -1,)", "5: key 'rate_bytes_per_s' is -1, below 0"},
        {5, R"("link": {"rate_bytes_per_s": 1,)", "5: key 'rate_bytes_per_s' is 0.5, below a byte"},
        {5, R"("link": {)", "6: key 'drift' needs a 'rate_bytes_per_s' above 0"},
        {5, R"("link": {"rate_bytes_per_s": 1e9, "latency_s": 1,)",
         "5: unknown key 'latency_s'; known: rate_bytes_per_s"},
        {5, R"("link": {"per_operation_s": 86400,)",
         "5: key 'per_operation_s' is 86400, above 43200"},
        {5, R"("link": {"soft_timeout_s": 0,)", "5: key 'soft_timeout_s' is 0, below"},
        {5, R"("link": {"rate_bytes_per_s": "1e9",)", "5: key 'rate_bytes_per_s' is a string"},
        {6, R"("drift": {}},)", "6: key 'drift' is an object, not an array"},
        {6, R"("drift": [{"at_s": 2, "factor": 1}, {"at_s": 1, "factor": 1}]},)",
         "6: key 'at_s' is before"},
        {6, R"("drift": [{"at_s": 2, "factor": 0}]},)", "6: key 'factor' is 0, below"},
        {6, R"("drift": [{"factor": 1}]},)", "6: key 'at_s' is missing"},
        {6, R"("drift": [{"at_s": 2}]},)", "6: key 'factor' is missing"},
        {6, R"("drift": [{"at_s": -2, "factor": 1}]},)", "6: key 'at_s' is -2, below 0"},
        {8, R"({"count": 1025,)", "8: key 'count' is 1025, above 1024"},
        {8, R"({"count": 1024, "rate_bytes_per_s": 1e9,)", "11: more than 1024 nodes"},
        {8, R"({"loss": 1.5,)", "8: key 'loss' is 1.5, above 1"},
        {8, R"({)",
         "9: key 'what': the rate of a node that has no 'rate_bytes_per_s' cannot change"},
        {8, R"({"latency": 1,)", "9: key 'what': the rate of a node"},
        {10, R"({"at_s": 4, "what": "recover"}]},)",
         "10: key 'what': a node recovers after it hung or died"},
        {10, R"({"at_s": 4, "what": "die"}, {"at_s": 5, "what": "hang"}]},)",
         "10: key 'what': a node that hangs or is dead can only recover"},
        {10, R"({"at_s": 2.5, "what": "die"}]},)", "10: key 'at_s' is before"},
        {10, R"({"at_s": 4, "what": "explode"}]},)",
         "10: key 'what' is 'explode'; known: rate, hang, die, recover"},
        {10, R"({"at_s": 4, "what": "die", "factor": 2}]},)",
         "10: unknown key 'factor'; known: at_s, what"},
        {12, R"("replicas": 4,)", "12: key 'replicas' is 4, above 3"},
        {13, R"("copy": [],)", "13: key 'copy' is an array, not an object"},
        {13, R"("copy": {"streams": 0},)", "13: key 'streams' is 0, below 1"},
        {13, R"("copy": {"streams": 1.5},)", "13: key 'streams' is 1.5, not a whole number"},
        {14, R"("fetch_window": {"operations": 4},)", "14: key 'bytes' is missing"},
        {14, R"("fetch_window": {"operations": 0, "bytes": 1},)",
         "14: key 'operations' is 0, below 1"},
        {15, R"()", "1: key 'copy_window' is missing"},
        {16, R"("compute": {"kind": "gpu",)", "16: key 'kind' is 'gpu'; known: prefill, iteration"},
        {16, R"("compute": {"kind": "iteration", "parameters": 0,)",
         "16: key 'parameters' is 0, below 1"},
        {16, R"("compute": {"kind": "iteration", "parameters": 1, "c0_s": 1,)",
         "16: key 'c1_s' is missing"},
        {16, R"("compute": {"kind": "prefill", "parameters": 1, "c0_s": 1, "c1_s": 1,)",
         "17: unknown key 'decode'; known: kind, parameters, c0_s, c1_s, c2_s"},
        {17, R"("decode": [], "max_batch": 1})", "17: key 'decode' has no points"},
        {17, R"("decode": [{"batch": 2, "step_s": 1}, {"batch": 2, "step_s": 1}]})",
         "17: key 'batch' is 2, below 3"},
        {17, R"("decode": [{"batch": 2, "step_s": 1}], "max_batch": 3})",
         "17: key 'max_batch' is 3, above 2"},
        {17, R"("decode": [[1, 2]]})", "17: an array where an object should be"},
        {18,
         R"(})"
         "\n]",
         "19: not JSON"},
    }));
    CAPTURE(e.line, e.in_its_place);
    const sluice_test::temp_dir dir;
    const std::string path = dir.write("p.json", with_line(e.line, e.in_its_place));
    const auto loaded = load_profile(path);
    REQUIRE_FALSE(loaded.ok());
    CHECK(loaded.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(message_of(loaded.status()), StartsWith(path + ':' + e.what));
}

TEST_CASE("profile: a model that does not fit", "[experiment]") {
    hardware_profile p = load_profile("calvo-testbed").value();
    kv_model large = load_kv_model("qwen2.5-14b").value();
    const auto qwen = p.for_model(large).value();
    CHECK(qwen.l1_bytes == (std::uint64_t{52} << 30) - 13'480'000'000);
    CHECK_THAT(qwen.prefill.c0_s / p.prefill.c0_s, WithinRel(14.77 / 8.03, 1e-9));
    large.parameters = 70e9;
    CHECK_THAT(message_of(p.for_model(large).status()),
               StartsWith("profile calvo-testbed: key 'l1_bytes' leaves 0 bytes"));
    p.l2_bytes = 1000;
    large.parameters = 1e9;
    CHECK_THAT(message_of(p.for_model(large).status()),
               StartsWith("profile calvo-testbed: key 'l2_bytes' leaves 1000 bytes"));
}

TEST_CASE("profile: mutated ones are refused with a line, or can be made", "[experiment][random]") {
    const std::uint64_t seed = GENERATE(range(0u, 2000u));
    sluice::workload::random_source random(seed);
    const sluice_test::temp_dir dir;
    const auto builtin = embedded_profiles();
    const std::uint64_t which = random.below(builtin.size() + 2);
    const std::string text = sluice_test::mutate_json(
        which < builtin.size() ? builtin[which].text : full_profile, random);
    const std::string path = dir.write("p.json", text);
    CAPTURE(seed, text);
    const auto loaded = load_profile(path);
    if (loaded.ok()) {
        CHECK(make_hardware(*loaded).ok());
        return;
    }
    const std::string message = message_of(loaded.status());
    CHECK(loaded.status().code() == absl::StatusCode::kInvalidArgument);
    REQUIRE_THAT(message, StartsWith(path + ':'));
    const long line = std::strtol(message.c_str() + path.size() + 1, nullptr, 10);
    CHECK(line >= 1);
    CHECK(line <= std::count(text.begin(), text.end(), '\n') + 1);
}
