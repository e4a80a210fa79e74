// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>

#include "address.hpp"
#include "frame.hpp"
#include "messages.hpp"
#include "resolve.hpp"

namespace sluice::wire {

/// A control connection: frames over one TCP socket, on one loop. Neither end waits inside a call.
///
/// A peer that is gone without a word is noticed after about 20 s (keep-alive, user timeout).
///
/// \par Thread safety
/// Used on its loop only, or before the loop runs and after it has ended.
///
/// \par Lifetime
/// It may be destroyed at any time, also inside its owner's callbacks; what is queued is lost then.
/// The owner outlives it. No callback comes inside `connect`, `adopt`, `send` or `close_when_sent`.
class connection {
 public:
    /// More than that queued: the other end does not read.
    static constexpr std::size_t max_queued_bytes = 4 * 1024 * 1024;
    /// Read per wake-up, so that one peer cannot hold the loop.
    static constexpr std::size_t read_budget_bytes = 256 * 1024;
    /// What an address gets to answer while there is another one to try.
    static constexpr duration next_address_after = std::chrono::seconds(2);
    /// What the other end gets to read the last bytes and to close, too.
    static constexpr duration close_after = std::chrono::seconds(2);

    class owner {
     public:
        /// Once, for `connect`: the socket is connected. Not called for accepted sockets.
        virtual void on_connected(connection&) {}
        virtual void on_frame(connection&, const frame&) = 0;
        /// Once at most: what came is no frame (kInvalidArgument). Nothing more is read, a last
        /// message may be sent; then the connection closes by itself and `on_closed` has the same
        /// status.
        virtual void on_malformed(connection&, const absl::Status&) {}
        /// Once, the last: there was no connecting, or the other end went away (kUnavailable);
        /// malformed frames (kInvalidArgument); the other end does not read (kResourceExhausted);
        /// OK after `close_when_sent`. The socket is closed.
        virtual void on_closed(connection&, absl::Status why) = 0;

     protected:
        ~owner() = default;
    };

    /// Starts to connect, to all addresses of a name in turn. Names are resolved here, which may
    /// block; numeric addresses do not.
    /// \return as `resolve`.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<connection>> connect(loop& on,
                                                                             const address& to,
                                                                             owner& who);
    /// Takes over a connected socket; closes it if that fails.
    /// \return kInvalidArgument: no connected socket; kResourceExhausted.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<connection>> adopt(loop& on, int socket,
                                                                           owner& who);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection();

    /// Queues a message; what the socket does not take at once goes when it can. May be called
    /// while still connecting. Does nothing once the connection ends. An owner whose other end does
    /// not read gets `on_closed` when more than max_queued_bytes are queued.
    template <class Message>
    void send(const Message& message, std::uint64_t id) {
        if (sends()) {
            encode(message, id, out_);
            flush();
        }
    }

    /// The same for frames that were encoded before.
    void send_frames(std::span<const std::byte> frames) {
        if (sends()) {
            out_.insert(out_.end(), frames.begin(), frames.end());
            flush();
        }
    }

    /// Ends the connection when what is queued has been sent and the other end has closed too, or
    /// has had its time. No frames are delivered any more; `on_closed` follows, with OK. Does
    /// nothing if the connection ends already.
    void close_when_sent();

    /// See `frame_reader::limit`.
    void limit_body(std::size_t bytes) noexcept { reader_.limit(bytes); }

    /// -1 while there is none.
    [[nodiscard]] int socket() const noexcept { return socket_; }
    /// "host:port" of the other end, for messages.
    [[nodiscard]] const std::string& peer() const noexcept { return peer_; }

 private:
    enum class state {
        connecting,
        open,
        broken,     // nothing can be sent; what has come is still read, then it closes
        finishing,  // sends what is queued; what comes is thrown away
        failing,    // closes soon
        closed,
    };
    struct watch : fd_watch {
        watch(connection& c, std::uint32_t events) noexcept;
        connection* self;
    };
    struct alarm : timer {
        explicit alarm(connection& c) noexcept;
        connection* self;
    };

    connection(loop& on, int socket, owner& who, state first);

    void try_next_address();
    void connected();
    void ready(std::uint32_t events);
    void timed();
    void read();
    void deliver();
    void flush();
    void write();
    void finish(absl::Status why);
    void fail_soon(state next, absl::Status why);
    void close(absl::Status why);
    [[nodiscard]] bool watch_for(std::uint32_t events);
    void drop_socket() noexcept;
    [[nodiscard]] bool sends() const noexcept {
        return state_ == state::connecting || state_ == state::open ||
               (state_ == state::finishing && in_malformed_);
    }
    [[nodiscard]] absl::Status unavailable(std::string_view what, int error) const;

    loop& loop_;
    owner* owner_;
    state state_;
    int socket_ = -1;
    std::string peer_;
    std::vector<socket_address> addresses_;  // to connect to
    std::size_t next_address_ = 0;
    absl::Status why_;  // for on_closed, while it ends
    std::optional<watch> watch_;
    alarm alarm_;
    frame_reader reader_;
    std::vector<std::byte> out_;
    std::size_t sent_ = 0;  // of out_
    bool corked_ = false;   // answers to what was read together go together
    bool in_malformed_ = false;
    bool* gone_ = nullptr;  // of the call that is calling the owner back
};

}  // namespace sluice::wire
