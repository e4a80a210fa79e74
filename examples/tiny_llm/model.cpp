// SPDX-License-Identifier: Apache-2.0
#include <tiny_llm/model.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include <absl/strings/str_cat.h>

namespace tiny_llm {

/// Tokens begin .. begin + rows of one prefill.
struct model::chunk {
    const paged_kv& kv;
    std::span<const std::uint32_t> block_slots;
    std::size_t begin;
    std::size_t rows;
    scratch& work;

    struct place {
        std::uint32_t slot;
        std::size_t token;
    };
    [[nodiscard]] place at(std::size_t position) const {
        return {block_slots[position / kv.block_tokens()], position % kv.block_tokens()};
    }
};

absl::StatusOr<model> model::create(const model_config& config) {
    if (absl::Status s = config.validate(); !s.ok()) {
        return s;
    }
    return model(config);
}

model::model(const model_config& config)
    : config_(config),
      kernels_(config.kernels == kernel_choice::best ? &best_kernels() : &portable_kernels()),
      weights_(make_weights(config)) {}

absl::Status model::prefill(std::span<const std::uint32_t> tokens, std::size_t n_cached,
                            const paged_kv& kv, std::span<const std::uint32_t> block_slots,
                            std::span<float> logits, scratch& work) const {
    if (absl::Status s = check(tokens, n_cached, kv, block_slots, logits.size()); !s.ok()) {
        return s;
    }
    prepare(work);
    const std::size_t d = config_.d_model;
    std::size_t rows = 0;
    for (std::size_t begin = n_cached; begin < tokens.size(); begin += rows) {
        rows = std::min(config_.chunk_rows, tokens.size() - begin);
        const chunk c{kv, block_slots, begin, rows, work};
        for (std::size_t r = 0; r < rows; ++r) {
            std::copy_n(weights_.embedding.data() + tokens[begin + r] * d, d,
                        work.residual_.data() + r * d);
        }
        for (std::size_t layer = 0; layer + 1 < config_.layers; ++layer) {
            make_qkv(layer, c);
            attend(layer, c, 0);
            feed_forward(layer, c, 0);
        }
        make_qkv(config_.layers - 1, c);
    }
    // Behind the keys and values of the last layer, only the last token is of interest.
    const chunk last{kv, block_slots, tokens.size() - rows, rows, work};
    attend(config_.layers - 1, last, rows - 1);
    feed_forward(config_.layers - 1, last, rows - 1);
    last_logits(rows - 1, logits, work);
    return absl::OkStatus();
}

absl::Status model::check(std::span<const std::uint32_t> tokens, std::size_t n_cached,
                          const paged_kv& kv, std::span<const std::uint32_t> block_slots,
                          std::size_t num_logits) const {
    const auto wrong = [](auto... what) {
        return absl::InvalidArgumentError(absl::StrCat("prefill: ", what...));
    };
    if (n_cached >= tokens.size()) {
        return wrong("n_cached is ", n_cached, " of ", tokens.size(), " tokens, none is left");
    }
    if (tokens.size() > config_.max_tokens) {
        return wrong(tokens.size(), " tokens, max_tokens is ", config_.max_tokens);
    }
    if (kv.shape() != config_.kv()) {
        return wrong("the KV pages are of another shape");
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] >= config_.vocab) {
            return wrong("token ", i, " is ", tokens[i], ", vocab is ", config_.vocab);
        }
    }
    const std::size_t blocks = kv.blocks_for(tokens.size());
    if (block_slots.size() < blocks) {
        return wrong(block_slots.size(), " block slots, ", tokens.size(), " tokens need ", blocks);
    }
    for (std::size_t i = 0; i < blocks; ++i) {
        if (block_slots[i] >= kv.num_slots()) {
            return wrong("slot of block ", i, " is ", block_slots[i], " of ", kv.num_slots());
        }
    }
    if (num_logits != config_.vocab) {
        return wrong("room for ", num_logits, " logits, vocab is ", config_.vocab);
    }
    return absl::OkStatus();
}

void model::prepare(scratch& work) const {
    const std::size_t rows = config_.chunk_rows + row_tile;
    const std::size_t all_head_rows = config_.kv_heads * head_rows();
    work.residual_.grow(rows * config_.d_model);
    work.normed_.grow(rows * std::max(config_.d_model, q_columns()));
    work.qkv_.grow(rows * qkv_columns());
    work.hidden_.grow(rows * config_.hidden);
    work.queries_.grow(all_head_rows * config_.head_dim);
    work.sums_.grow(all_head_rows * config_.head_dim);
    work.row_max_.grow(all_head_rows);
    work.row_sum_.grow(all_head_rows * lanes);
    work.key_panels_.grow(key_tile * config_.head_dim);
    work.value_panels_.grow(key_tile * config_.head_dim);
    work.logits_.grow((config_.vocab + panel_width - 1) / panel_width * panel_width);
}

void model::norm(const float* gain, std::size_t first, std::size_t rows, scratch& work) const {
    const std::size_t d = config_.d_model;
    for (std::size_t r = first; r < rows; ++r) {
        kernels_->rms_norm(work.residual_.data() + r * d, gain, d, work.normed_.data() + r * d);
    }
}

/// Queries of the chunk go to scratch, its keys and values to their pages.
void model::make_qkv(std::size_t layer, const chunk& c) const {
    const layer_weights& w = weights_.layers[layer];
    const std::size_t hd = config_.head_dim;
    const std::size_t kv_columns = config_.kv_heads * hd;
    norm(w.attention_gain.data(), 0, c.rows, c.work);
    kernels_->product({.rows = c.work.normed_.data(),
                       .row_stride = config_.d_model,
                       .num_rows = c.rows,
                       .depth = config_.d_model,
                       .panels = w.qkv.data(),
                       .num_panels = qkv_columns() / panel_width,
                       .out = c.work.qkv_.data(),
                       .out_stride = qkv_columns()});
    // Attention takes powers of two, so the scale of its scores has log2(e) in it.
    const float scale =
        std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(config_.head_dim));
    for (std::size_t r = 0; r < c.rows; ++r) {
        const float* row = c.work.qkv_.data() + r * qkv_columns();
        const float* cosine = weights_.cosine.data() + (c.begin + r) * hd / 2;
        const float* sine = weights_.sine.data() + (c.begin + r) * hd / 2;
        for (std::size_t h = 0; h < config_.heads; ++h) {
            const std::size_t to = h / group() * head_rows() + r * group() + h % group();
            kernels_->rotate(row + h * hd, cosine, sine, hd, scale,
                             c.work.queries_.data() + to * hd);
        }
        const chunk::place at = c.at(c.begin + r);
        float* keys = c.kv.keys(layer, at.slot, at.token);
        for (std::size_t h = 0; h < config_.kv_heads; ++h) {
            kernels_->rotate(row + q_columns() + h * hd, cosine, sine, hd, 1.0f, keys + h * hd);
        }
        std::copy_n(row + q_columns() + kv_columns, kv_columns,
                    c.kv.values(layer, at.slot, at.token));
    }
}

/// Adds attention to the residuals of the chunk's rows from `first` on.
void model::attend(std::size_t layer, const chunk& c, std::size_t first) const {
    scratch& work = c.work;
    const std::size_t hd = config_.head_dim;
    const std::size_t rows = (c.rows - first) * group();
    for (std::size_t h = 0; h < config_.kv_heads; ++h) {
        const std::size_t from = h * head_rows() + first * group();
        std::fill_n(work.sums_.data() + from * hd, rows * hd, 0.0f);
        std::fill_n(work.row_sum_.data() + from * lanes, rows * lanes, 0.0f);
        std::fill_n(work.row_max_.data() + from, rows, -std::numeric_limits<float>::infinity());
    }
    const std::size_t end = c.begin + c.rows;
    for (std::size_t tile = 0; tile < end; tile += key_tile) {
        std::array<const float*, key_tile> keys;
        std::array<const float*, key_tile> values;
        const std::size_t count = std::min(key_tile, end - tile);
        for (std::size_t j = 0; j < count; ++j) {
            const chunk::place at = c.at(tile + j);
            keys[j] = c.kv.keys(layer, at.slot, at.token);
            values[j] = c.kv.values(layer, at.slot, at.token);
        }
        for (std::size_t h = 0; h < config_.kv_heads; ++h) {
            const std::size_t from = h * head_rows() + first * group();
            kernels_->pack_keys(keys.data(), h * hd, count, hd, work.key_panels_.data());
            kernels_->pack_values(values.data(), h * hd, count, hd, work.value_panels_.data());
            kernels_->attend({.queries = work.queries_.data() + from * hd,
                              .out = work.sums_.data() + from * hd,
                              .row_max = work.row_max_.data() + from,
                              .row_sum = work.row_sum_.data() + from * lanes,
                              .num_rows = rows,
                              .head_dim = hd,
                              .group = group(),
                              .first_position = c.begin + first,
                              .tile_position = tile,
                              .keys = work.key_panels_.data(),
                              .values = work.value_panels_.data()});
        }
    }
    for (std::size_t r = first; r < c.rows; ++r) {
        for (std::size_t h = 0; h < config_.heads; ++h) {
            const std::size_t from = h / group() * head_rows() + r * group() + h % group();
            kernels_->normalise(work.sums_.data() + from * hd, work.row_sum_.data() + from * lanes,
                                hd, work.normed_.data() + r * q_columns() + h * hd);
        }
    }
    kernels_->product_add({.rows = work.normed_.data() + first * q_columns(),
                           .row_stride = q_columns(),
                           .num_rows = c.rows - first,
                           .depth = q_columns(),
                           .panels = weights_.layers[layer].attention_out.data(),
                           .num_panels = config_.d_model / panel_width,
                           .out = work.residual_.data() + first * config_.d_model,
                           .out_stride = config_.d_model});
}

void model::feed_forward(std::size_t layer, const chunk& c, std::size_t first) const {
    const layer_weights& w = weights_.layers[layer];
    const std::size_t d = config_.d_model;
    norm(w.mlp_gain.data(), first, c.rows, c.work);
    kernels_->product_swiglu({.rows = c.work.normed_.data() + first * d,
                              .row_stride = d,
                              .num_rows = c.rows - first,
                              .depth = d,
                              .panels = w.gate_up.data(),
                              .num_panels = config_.hidden / lanes,
                              .out = c.work.hidden_.data() + first * config_.hidden,
                              .out_stride = config_.hidden});
    kernels_->product_add({.rows = c.work.hidden_.data() + first * config_.hidden,
                           .row_stride = config_.hidden,
                           .num_rows = c.rows - first,
                           .depth = config_.hidden,
                           .panels = w.down.data(),
                           .num_panels = d / panel_width,
                           .out = c.work.residual_.data() + first * d,
                           .out_stride = d});
}

void model::last_logits(std::size_t row, std::span<float> logits, scratch& work) const {
    norm(weights_.final_gain.data(), row, row + 1, work);
    kernels_->product({.rows = work.normed_.data() + row * config_.d_model,
                       .row_stride = config_.d_model,
                       .num_rows = 1,
                       .depth = config_.d_model,
                       .panels = weights_.head.data(),
                       .num_panels = (config_.vocab + panel_width - 1) / panel_width,
                       .out = work.logits_.data(),
                       .out_stride = 0});
    std::copy_n(work.logits_.data(), config_.vocab, logits.data());
}

}  // namespace tiny_llm
