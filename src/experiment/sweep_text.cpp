// SPDX-License-Identifier: Apache-2.0
#include "sweep_text.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace sluice::experiment {
namespace {

/// Text that stays text inside a cell of a table.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == '\x7f') {
            out += ' ';
            continue;
        }
        if (std::string_view("|\\`*_<>[]&").find(c) != std::string_view::npos) {
            out += '\\';
        }
        out += c;
    }
    return out;
}

}  // namespace

std::string markdown_table(const page_table& table) {
    const auto named = std::count_if(table.groups.begin(), table.groups.end(),
                                     [](const page_column_group& g) { return !g.name.empty(); });
    std::string heads;
    std::string rule;
    std::string only;
    for (const page_column_group& group : table.groups) {
        only += named == 1 ? group.name : "";
    }
    for (const page_column_group& group : table.groups) {
        for (const std::string& column : group.columns) {
            std::string head = escaped(column);
            if (heads.empty() && !only.empty()) {
                head += fmt::format(" ({})", escaped(only));
            } else if (named > 1 && !group.name.empty()) {
                head = escaped(group.name) + ": " + head;
            }
            rule += heads.empty() ? "|---|" : "---:|";
            heads += fmt::format("{} {} |", heads.empty() ? "|" : "", head);
        }
    }
    std::string out = heads + '\n' + rule + '\n';
    for (const auto& row : table.rows) {
        out += '|';
        for (const page_cell& cell : row) {
            const std::string text = escaped(cell.text);
            out += cell.best ? fmt::format(" **{}** |", text) : fmt::format(" {} |", text);
        }
        out += '\n';
    }
    return out;
}

}  // namespace sluice::experiment
