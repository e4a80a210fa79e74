// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace sluice_test {

/// Runs the fuzz target on each file of `corpus`; with --write-seeds DIR it makes seeds instead.
/// \return an exit code
inline int corpus_main(int argc, char** argv, const char* corpus,
                       bool (*write_seeds)(const std::string& dir)) {
    if (argc == 3 && std::string_view(argv[1]) == "--write-seeds") {
        return write_seeds(argv[2]) ? 0 : 1;
    }
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
        std::ifstream in(entry.path(), std::ios::binary);
        const std::vector<char> raw{std::istreambuf_iterator<char>(in), {}};
        std::printf("%s\n", entry.path().filename().c_str());
        std::fflush(stdout);
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(raw.data()), raw.size());
        ++files;
    }
    return files > 0 ? 0 : 1;
}

}  // namespace sluice_test
