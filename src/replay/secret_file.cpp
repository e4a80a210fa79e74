// SPDX-License-Identifier: Apache-2.0
#include "secret_file.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sluice::replay {

absl::StatusOr<secret_file> secret_file::create() {
    std::array<unsigned char, 32> random{};
    if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
        return absl::UnavailableError("there are no random bytes for a secret");
    }
    secret_file out;
    for (const unsigned char byte : random) {
        out.text_ += fmt::format("{:02x}", byte);
    }
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
    std::string path = (error ? "/tmp" : folder.string()) + "/sluice-secret-XXXXXX";
    const int fd = mkostemp(path.data(), O_CLOEXEC);  // mode 0600
    if (fd < 0) {
        return absl::UnavailableError(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    out.path_ = path;
    const ssize_t n = write(fd, out.text_.data(), out.text_.size());
    if (close(fd) != 0 || n != static_cast<ssize_t>(out.text_.size())) {
        return absl::UnavailableError(fmt::format("{} cannot be written", path));
    }
    return out;
}

secret_file::~secret_file() {
    if (!path_.empty()) {
        unlink(path_.c_str());
    }
}

}  // namespace sluice::replay
