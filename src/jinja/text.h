// Strings as Python sees them: code points, stored as UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cameo::jinja {

// Number of code points.
size_t length(std::string_view text);
// The byte where code point `index` begins; text.size() where there are fewer.
size_t byte_of(std::string_view text, size_t index);
std::vector<std::string_view> characters(std::string_view text);

// strip(), of white space or of any of these characters.
std::string_view strip(std::string_view text, bool left, bool right);
std::string_view strip(std::string_view text, std::string_view of, bool left, bool right);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);  // str.title()
bool is_upper(std::string_view text);
bool is_lower(std::string_view text);
bool is_alpha(std::string_view text);
bool is_digit(std::string_view text);
bool is_alnum(std::string_view text);
bool is_white(std::string_view text);

// Like string_view::find, but in linear time for every needle.
size_t find(std::string_view text, std::string_view needle, size_t from = 0);
// `most` below 0: all.
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t most);
std::vector<std::string_view> split(std::string_view text, std::string_view by, int64_t most, bool from_right);
std::vector<std::string_view> split_white(std::string_view text, int64_t most, bool from_right);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// repr(float)
std::string float_repr(double value);
// repr(str), with the quotes that Python chooses.
std::string string_repr(std::string_view text);

}  // namespace cameo::jinja
