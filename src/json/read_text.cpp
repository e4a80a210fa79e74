// SPDX-License-Identifier: Apache-2.0
#include "read_text.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <absl/status/status.h>
#include <fmt/format.h>

namespace sluice::json {

absl::StatusOr<std::string> read_text(const std::string& path, std::size_t longest) {
    std::error_code error;
    // Opening a directory for reading succeeds; only reading it fails.
    if (std::filesystem::is_directory(path, error)) {
        return absl::InvalidArgumentError(fmt::format("{} is a directory", path));
    }
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) {
        return absl::ErrnoToStatus(errno, path);
    }
    std::string text;
    std::array<char, 64 * 1024> buffer;
    while (text.size() <= longest) {
        const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file);
        if (got == 0) {
            break;
        }
        text.append(buffer.data(), got);
    }
    const bool failed = std::ferror(file) != 0;
    const int reason = errno;
    std::fclose(file);
    if (failed) {
        return absl::ErrnoToStatus(reason, path);
    }
    return text;
}

}  // namespace sluice::json
