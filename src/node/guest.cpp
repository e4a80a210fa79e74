// SPDX-License-Identifier: Apache-2.0
#include "guest.hpp"

#include <chrono>

namespace sluice::node {
namespace {

using namespace std::chrono_literals;

constexpr duration greeting_time = 5s;
// Who guesses secrets waits after each, and pays with a connection; nobody else does.
constexpr duration rejection_delay = 100ms;

}  // namespace

guest::alarm::alarm(guest& g) noexcept
    : timer([](timer& t) noexcept { static_cast<alarm&>(t).self->on_alarm(); }), self(&g) {}

guest::guest(service& s, host& h, std::uint64_t number)
    : intake::client(s.blocks_in),
      service_(s),
      host_(&h),
      number_(number),
      handshake_(s.secret, s.facts),
      alarm_(*this) {}

absl::StatusOr<std::unique_ptr<guest>> guest::receive(service& s, host& h, std::uint64_t number,
                                                      int socket) {
    std::unique_ptr<guest> out(new guest(s, h, number));
    absl::StatusOr<std::unique_ptr<wire::connection>> control =
        wire::connection::adopt(s.on, socket, *out);
    if (!control.ok()) {
        return control.status();
    }
    out->control_ = *std::move(control);
    out->control_->limit_body(wire::handshake_body_bytes);
    s.on.arm(out->alarm_, saturating_add(s.on.now(), greeting_time));
    return out;
}

guest::~guest() {
    service_.on.disarm(alarm_);
    release();
}

void guest::tell_draining() {
    if (state_ == state::served) {
        control_->send(wire::draining{}, 0);
    } else if (state_ == state::greeting) {
        dismiss(absl::UnavailableError("the node is about to end"), 0);
    }
}

void guest::on_frame(wire::connection&, const wire::frame& f) {
    switch (state_) {
    case state::greeting: greet(f); break;
    case state::served:
        serve(f);
        service_.counts.publish(service_.pool.stats());
        break;
    case state::rejected:
    case state::leaving: break;
    }
}

// The connection closes by itself.
void guest::on_malformed(wire::connection& c, const absl::Status& why) {
    if (state_ == state::greeting || state_ == state::served) {
        service_.counts.malformed.add();
        c.send(wire::failure_of(why), 0);
    }
    state_ = state::leaving;
    release();
}

void guest::on_closed(wire::connection&, absl::Status) { host_->on_left(*this); }

void guest::on_alarm() {
    if (state_ == state::rejected) {
        dismiss(absl::UnauthenticatedError(
                    "the client does not know the secret; give both the same secret file"),
                rejected_id_);
    } else {
        dismiss(absl::DeadlineExceededError("the handshake took too long"), 0);
    }
}

void guest::greet(const wire::frame& f) {
    if (f.type == wire::message_type::hello) {
        const absl::StatusOr<wire::hello> hello = wire::decode<wire::hello>(f.body);
        if (!hello.ok()) {
            condemn(hello.status(), f.id);
            return;
        }
        const absl::StatusOr<wire::challenge> challenge = handshake_.begin(*hello);
        if (!challenge.ok()) {
            condemn(challenge.status(), f.id);
            return;
        }
        control_->send(*challenge, f.id);
        return;
    }
    if (f.type != wire::message_type::proof) {
        condemn(absl::InvalidArgumentError("handshake: hello or proof was due"), f.id);
        return;
    }
    const absl::StatusOr<wire::proof> proof = wire::decode<wire::proof>(f.body);
    if (!proof.ok()) {
        condemn(proof.status(), f.id);
        return;
    }
    const absl::StatusOr<wire::welcome> welcome = handshake_.finish(*proof);
    if (absl::IsUnauthenticated(welcome.status())) {
        service_.counts.rejected.add();
        state_ = state::rejected;
        rejected_id_ = f.id;
        service_.on.arm(alarm_, saturating_add(service_.on.now(), rejection_delay));
        return;
    }
    if (!welcome.ok()) {
        condemn(welcome.status(), f.id);
        return;
    }
    if (const absl::Status place = host_->on_proven(*this); !place.ok()) {
        dismiss(place, f.id);
        return;
    }
    service_.on.disarm(alarm_);
    state_ = state::served;
    control_->limit_body(wire::max_body_bytes);
    control_->send(*welcome, f.id);
}

// It cannot be served, and may ask again.
void guest::refuse(const absl::Status& why, std::uint64_t id) {
    control_->send(wire::failure_of(why), id);
}

// It has to go.
void guest::dismiss(const absl::Status& why, std::uint64_t id) {
    refuse(why, id);
    state_ = state::leaving;
    service_.on.disarm(alarm_);
    release();
    control_->close_when_sent();
}

// It has to go, and it is its own fault.
void guest::condemn(const absl::Status& why, std::uint64_t id) {
    service_.counts.malformed.add();
    dismiss(why, id);
}

// Nothing of the client's touches memory afterwards: only then that memory may go.
void guest::release() noexcept {
    forget();
    for (const service::provider& p : service_.providers) {
        p.target->expel(number_);
    }
    if (std::exchange(has_reserved_, false)) {
        service_.pool.abandon_all(number_);
        service_.counts.publish(service_.pool.stats());
    }
    reserved_.clear();
    tokens_.clear();
    reserved_bytes_ = 0;
    committing_bytes_ = 0;
    committing_blocks_ = 0;
    if (!staging_.empty()) {
        service_.counts.staging_bytes.add(-static_cast<double>(staging_.bytes().size()));
        staging_.forget();
        service_.spare_staging.push_back(std::exchange(staging_, {}));
    }
}

}  // namespace sluice::node
