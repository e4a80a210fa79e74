// SPDX-License-Identifier: Apache-2.0
#include "output.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

namespace sluice::command {

int exit_code_of(const absl::Status& status) noexcept {
    switch (status.code()) {
    case absl::StatusCode::kOk: return exit_ok;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied: return exit_usage;
    default: return exit_failure;
    }
}

int complain(std::string_view what, const absl::Status& status) {
    const std::string_view message = message_of(status);
    fmt::print(stderr, "sluice {}: {}\n", what,
               message.empty() ? std::string_view("failed without a message") : message);
    return exit_code_of(status);
}

absl::Status check_writable(const std::string& path) {
    namespace fs = std::filesystem;
    if (path.empty() || path == "-") {
        return absl::OkStatus();
    }
    std::error_code error;
    if (fs::is_directory(path, error)) {
        return absl::InvalidArgumentError(fmt::format("{} is a directory", path));
    }
    const fs::path parent = fs::path(path).parent_path();
    const std::string folder = parent.empty() ? "." : parent.string();
    if (!fs::is_directory(folder, error)) {
        return absl::NotFoundError(fmt::format("{}: there is no folder {}", path, folder));
    }
    const std::string& asked = fs::exists(path, error) ? path : folder;
    if (access(asked.c_str(), W_OK) != 0) {
        return absl::PermissionDeniedError(fmt::format("{}: {}", asked, std::strerror(errno)));
    }
    return absl::OkStatus();
}

absl::Status write_text(const std::string& path, std::string_view text) {
    const bool standard = path == "-";
    const std::string name = standard ? "standard output" : path;
    std::FILE* file = standard ? stdout : std::fopen(path.c_str(), "wb");
    if (file == nullptr) {
        return absl::UnavailableError(fmt::format("{}: {}", name, std::strerror(errno)));
    }
    errno = 0;
    bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    int reason = errno;
    // Closing is where a full disk is noticed.
    if ((standard ? std::fflush(file) : std::fclose(file)) != 0) {
        reason = good ? errno : reason;
        good = false;
    }
    if (!good) {
        return absl::UnavailableError(fmt::format("{}: {}", name, std::strerror(reason)));
    }
    return absl::OkStatus();
}

bool stdout_is_terminal() {
    const char* kind = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb" &&
           std::getenv("NO_COLOR") == nullptr;
}

}  // namespace sluice::command
