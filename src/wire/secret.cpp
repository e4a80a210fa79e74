// SPDX-License-Identifier: Apache-2.0
#include "secret.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "frame.hpp"

namespace sluice::wire {
namespace {

void append_label(std::string_view label, std::vector<std::byte>& out) {
    const auto bytes = std::as_bytes(std::span(label));
    out.insert(out.end(), bytes.begin(), bytes.end());
}

// The body of a message from its byte `from` on.
template <class Message>
void append_body(const Message& message, std::size_t from, std::vector<std::byte>& out) {
    std::vector<std::byte> whole;
    encode(message, 0, whole);
    out.insert(out.end(), whole.begin() + static_cast<std::ptrdiff_t>(frame_header_bytes + from),
               whole.end());
}

absl::Status cannot_read(const std::string& path, int error) {
    const auto code = error == ENOENT || error == ENOTDIR ? absl::StatusCode::kNotFound
                      : error == EACCES || error == EPERM ? absl::StatusCode::kPermissionDenied
                                                          : absl::StatusCode::kUnavailable;
    return absl::Status(
        code, fmt::format("secret file '{}': {}", path, std::system_category().message(error)));
}

// Reads at most what fits. \return bytes, or -1 with errno.
ssize_t read_all(int fd, std::span<std::byte> into) noexcept {
    std::size_t got = 0;
    while (got < into.size()) {
        const ssize_t n = ::read(fd, into.data() + got, into.size() - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return n;
        }
        if (n == 0) {
            break;
        }
        got += static_cast<std::size_t>(n);
    }
    return static_cast<ssize_t>(got);
}

}  // namespace

bool same_mac(const mac& a, const mac& b) noexcept {
    std::byte differs{};
    for (std::size_t i = 0; i < a.size(); ++i) {
        differs |= a[i] ^ b[i];
    }
    // The compiler must not see that it may stop early.
    asm volatile("" : "+r"(differs));
    return differs == std::byte{};
}

void fill_random(std::span<std::byte> out) noexcept {
    while (!out.empty()) {
        const ssize_t n = ::getrandom(out.data(), out.size(), 0);
        if (n > 0) {
            out = out.subspan(static_cast<std::size_t>(n));
        } else if (errno != EINTR) {
            std::abort();  // a guessable nonce would be worse
        }
    }
}

absl::StatusOr<shared_secret> shared_secret::from_bytes(std::span<const std::byte> bytes) {
    if (bytes.size() < min_bytes || bytes.size() > max_bytes) {
        return absl::InvalidArgumentError(fmt::format("a shared secret has {} to {} bytes, not {}",
                                                      min_bytes, max_bytes, bytes.size()));
    }
    return shared_secret(bytes);
}

absl::StatusOr<shared_secret> shared_secret::from_options(const std::string& file,
                                                          const std::string& bytes) {
    if (file.empty() == bytes.empty()) {
        return absl::InvalidArgumentError(
            "a secret is needed, from a file or as bytes, and from one of them only");
    }
    return file.empty() ? from_bytes(std::as_bytes(std::span(bytes))) : from_file(file);
}

absl::StatusOr<shared_secret> shared_secret::from_file(const std::string& path) {
    // Not to hang on a pipe; it is refused below.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return cannot_read(path, errno);
    }
    struct stat about {};
    std::array<std::byte, max_bytes + 3> buffer;  // "\r\n", and one to see that there is more
    const bool known = ::fstat(fd, &about) == 0;
    const bool plain = known && S_ISREG(about.st_mode);
    const ssize_t got = plain ? read_all(fd, buffer) : known ? 0 : -1;
    const int error = errno;
    ::close(fd);
    if (got < 0) {
        return cannot_read(path, error);
    }
    if (!plain) {
        return absl::InvalidArgumentError(fmt::format("secret file '{}': not a plain file", path));
    }
    auto bytes = std::span<const std::byte>(buffer).first(static_cast<std::size_t>(got));
    while (!bytes.empty() && (bytes.back() == std::byte{'\n'} || bytes.back() == std::byte{'\r'})) {
        bytes = bytes.first(bytes.size() - 1);
    }
    absl::StatusOr<shared_secret> out = absl::InvalidArgumentError("");
    if ((about.st_mode & S_IWOTH) != 0) {
        out = absl::InvalidArgumentError(fmt::format(
            "secret file '{}': everybody may write it; take that right away (chmod o-w)", path));
    } else if (static_cast<std::size_t>(got) == buffer.size()) {
        out = absl::InvalidArgumentError(
            fmt::format("secret file '{}': more than {} bytes", path, max_bytes));
    } else if (bytes.size() < min_bytes || bytes.size() > max_bytes) {
        out = absl::InvalidArgumentError(
            fmt::format("secret file '{}': {} bytes without line ends; {} to {} are asked for",
                        path, bytes.size(), min_bytes, max_bytes));
    } else {
        out = shared_secret(bytes);
    }
    explicit_bzero(buffer.data(), buffer.size());
    return out;
}

mac shared_secret::client_proof(const hello& client, const challenge& node) const {
    std::vector<std::byte> said;
    append_label("sluice client", said);
    append_body(client, 0, said);
    append_body(node, 0, said);
    return hmac_sha256(bytes_, said);
}

mac shared_secret::node_proof(const hello& client, const challenge& node,
                              const welcome& last) const {
    std::vector<std::byte> said;
    append_label("sluice node", said);
    append_body(client, 0, said);
    append_body(node, 0, said);
    append_body(last, sizeof(mac), said);
    return hmac_sha256(bytes_, said);
}

}  // namespace sluice::wire
