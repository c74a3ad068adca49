#include "core/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/text.hpp"

namespace oddjob {
namespace {

// Bounds what aliases may multiply a document to.
constexpr std::size_t kMaxNodes = 2'000'000;

struct Reader {
  std::string_view what;
  std::size_t nodes = 0;
  std::map<std::string, int, std::less<>>* lines = nullptr;  // filled where somebody asks
  std::string path{};

  // While it lives, `step` is at the end of the path.
  struct Step {
    Step(Reader& r, const std::string& step, const YAML::Node& at) : reader(r), before(r.path.size()) {
      if (reader.lines == nullptr) return;
      reader.path += step.starts_with('[') || reader.path.empty() ? step : "." + step;
      if (!at.Mark().is_null()) reader.lines->emplace(reader.path, at.Mark().line + 1);
    }
    ~Step() { reader.path.resize(before); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    Reader& reader;
    std::size_t before;
  };

  [[nodiscard]] std::unexpected<Error> error(const YAML::Mark& mark, std::string code,
                                             std::string_view message) const {
    const auto place =
        mark.is_null() ? std::string{} : fmt::format("line {}, column {}: ", mark.line + 1, mark.column + 1);
    return fail(Errc::invalid_argument, std::move(code), fmt::format("{}: {}{}", what, place, message));
  }

  // YAML 1.2 core schema, and the octal and boolean forms that kubectl's reader
  // takes for numbers and booleans too.
  static json::value scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    const std::string& tag = node.Tag();
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return json::value(json::string(text));
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    const bool negative = text[0] == '-';
    const std::string_view digits = std::string_view(text).substr(negative || text[0] == '+' ? 1 : 0);
    if (!digits.empty() && (digits[0] == '.' || (digits[0] >= '0' && digits[0] <= '9'))) {
      int base = 10;
      std::string_view body = digits;
      if (digits.starts_with("0x"))
        base = 16, body.remove_prefix(2);
      else if (digits.starts_with("0o"))
        base = 8, body.remove_prefix(2);
      else if (digits.size() > 1 && digits[0] == '0' &&
               digits.find_first_not_of("01234567") == std::string_view::npos)
        base = 8;
      std::int64_t integer = 0;
      const std::string signed_body = (negative ? "-" : "") + std::string(body);
      const auto [end, ec] =
          std::from_chars(signed_body.data(), signed_body.data() + signed_body.size(), integer, base);
      if (ec == std::errc{} && !body.empty() && end == signed_body.data() + signed_body.size())
        return integer;
      if (digits.find_first_not_of("0123456789.eE+-") == std::string_view::npos) {
        double number = 0;
        const std::string all = (negative ? "-" : "") + std::string(digits);
        const auto [dend, dec] = std::from_chars(all.data(), all.data() + all.size(), number);
        if (dec == std::errc{} && dend == all.data() + all.size() && std::isfinite(number)) return number;
      }
    }
    return json::value(json::string(text));
  }

  // `<<: *one` or `<<: [*one, *other]`, of which the first wins.
  static bool is_merge(const json::value& v) {
    return v.is_object() || (v.is_array() && std::ranges::all_of(v.get_array(), &json::value::is_object));
  }

  Result<json::value> read(const YAML::Node& node, std::size_t depth) {
    if (depth > kMaxJsonDepth) return error(node.Mark(), "yaml.too_deep", "nested too deeply");
    if (++nodes > kMaxNodes)
      return error(node.Mark(), "yaml.too_deep", "too many nodes; aliases multiply it");
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return json::value(nullptr);
      case YAML::NodeType::Scalar:
        return scalar(node);
      case YAML::NodeType::Sequence: {
        json::array out;
        for (const auto& item : node) {
          const Step step(*this, lines != nullptr ? fmt::format("[{}]", out.size()) : std::string(), item);
          OJ_TRY(auto value, read(item, depth + 1));
          out.push_back(std::move(value));
        }
        return out;
      }
      case YAML::NodeType::Map: {
        json::object out;
        std::vector<json::value> merges;  // what is written here wins over what is merged in
        for (const auto& pair : node) {
          if (!pair.first.IsScalar())
            return error(pair.first.Mark(), "yaml.malformed", "a key must be a scalar");
          const std::string& key = pair.first.Scalar();
          const Step step(*this, key, pair.first);
          OJ_TRY(auto value, read(pair.second, depth + 1));
          if (key == "<<" && pair.first.Tag() != "!" && is_merge(value)) {
            if (value.is_object())
              merges.push_back(std::move(value));
            else
              merges.insert(merges.end(), value.get_array().begin(), value.get_array().end());
            continue;
          }
          if (!out.emplace(key, std::move(value)).second)
            return error(pair.first.Mark(), "yaml.duplicate_key",
                         fmt::format("the key '{}' stands there twice", printable(key, 100)));
        }
        for (const auto& merged : merges)
          for (const auto& member : merged.get_object()) out.emplace(member.key(), member.value());
        return out;
      }
    }
    return json::value(nullptr);
  }
};

// Would a YAML 1.1 or 1.2 reader take this plain text for something else?
bool needs_quotes(std::string_view s) {
  static const std::set<std::string, std::less<>> kWords = {
      "null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", ".nan", ".inf", "-.inf", "+.inf"};
  if (s.empty() || kWords.contains(ascii_lower(s))) return true;
  if (s.front() == ' ' || s.back() == ' ' || s.back() == ':') return true;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=<").find(s.front()) != std::string_view::npos) return true;
  // Numbers, dates, versions that look like numbers.
  if ((s[0] >= '0' && s[0] <= '9') || s[0] == '+' || s[0] == '.') {
    if (s.find_first_not_of("0123456789abcdefABCDEFxXoO.+-_:TZ ") == std::string_view::npos) return true;
  }
  for (std::size_t i = 0; i < s.size(); ++i) {
    const auto c = static_cast<unsigned char>(s[i]);
    if (c < 0x20 || c == 0x7F) return true;
    if (c == ':' && i + 1 < s.size() && s[i + 1] == ' ') return true;
    if (c == '#' && i > 0 && s[i - 1] == ' ') return true;
  }
  return printable(s, s.size() * 6) != s;
}

void write_string(std::string_view s, std::size_t indent, std::string& out, bool key) {
  // Lines that a reader would keep as they are.
  const auto plain_lines = [&] {
    for (const auto& line : split(s, '\n'))
      if (printable(line, line.size() * 6) != line) return false;
    return true;
  };
  const bool block = !key && s.find('\n') != std::string_view::npos && s.front() != ' ' &&
                     s.front() != '\n' && plain_lines();
  if (block) {
    const std::size_t newlines = s.size() - (s.find_last_not_of('\n') + 1);
    out += newlines == 0 ? "|-" : newlines == 1 ? "|" : "|+";
    std::string_view rest = s;
    if (newlines > 0) rest.remove_suffix(1);
    for (const auto& line : split(rest, '\n')) {
      out += '\n';
      if (!line.empty()) out.append(indent, ' ');
      out += line;
    }
    return;
  }
  if (!needs_quotes(s)) {
    out += s;
    return;
  }
  // A JSON string is a YAML double-quoted scalar.
  out += json::serialize(json::value(json::string(to_valid_utf8(s))));
}

// With a point, and a sign in the exponent: YAML 1.1 reads a string otherwise.
void write_double(double d, std::string& out) {
  auto text = fmt::format("{}", d);
  const auto exponent = std::min(text.find('e'), text.size());
  if (std::isfinite(d) && text.find('.') == std::string::npos) text.insert(exponent, ".0");
  out += std::isnan(d) ? ".nan" : std::isinf(d) ? (d < 0 ? "-.inf" : ".inf") : text;
}

void write(const json::value& v, std::size_t indent, bool in_list, std::string& out) {
  if (v.is_object() && !v.get_object().empty()) {
    bool first = true;
    for (const auto& member : v.get_object()) {
      if (!first || !in_list) {
        if (!out.empty()) out += '\n';
        out.append(indent, ' ');
      }
      first = false;
      write_string(member.key(), indent, out, true);
      out += ':';
      const bool nested = (member.value().is_object() && !member.value().get_object().empty());
      const bool list = (member.value().is_array() && !member.value().get_array().empty());
      if (nested) {
        write(member.value(), indent + 2, false, out);
      } else if (list) {
        write(member.value(), indent, false, out);
      } else {
        out += ' ';
        write(member.value(), indent + 2, false, out);
      }
    }
  } else if (v.is_array() && !v.get_array().empty()) {
    bool first = true;
    for (const auto& item : v.get_array()) {
      if (!first || !in_list) {
        if (!out.empty()) out += '\n';
        out.append(indent, ' ');
      }
      first = false;
      out += "- ";
      write(item, indent + 2, true, out);
    }
  } else if (v.is_string()) {
    write_string(sv(v.get_string()), indent, out, false);
  } else if (v.is_double()) {
    write_double(v.get_double(), out);
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

namespace {

Result<std::vector<LocatedDocument>> read_documents(std::string_view text, std::string_view what,
                                                    bool locate) {
  if (text.size() > kMaxYamlBytes)
    return fail(Errc::too_large, "yaml.too_large",
                fmt::format("{} is larger than {} bytes", what, kMaxYamlBytes));
  Reader reader{what};
  if (!valid_utf8(text) || text.find('\0') != std::string_view::npos)
    return fail(Errc::invalid_argument, "yaml.malformed", fmt::format("{}: not UTF-8 text", what));
  std::vector<LocatedDocument> out;
  try {
    for (const auto& document : YAML::LoadAll(std::string(text))) {
      if (!document.IsDefined() || document.IsNull()) continue;
      LocatedDocument made;
      if (locate) {
        reader.lines = &made.lines;
        if (!document.Mark().is_null()) made.lines.emplace("", document.Mark().line + 1);
      }
      OJ_TRY(made.value, reader.read(document, 0));
      out.push_back(std::move(made));
    }
  } catch (const YAML::Exception& e) {
    return reader.error(e.mark, "yaml.malformed", printable(e.msg, 200));
  }
  return out;
}

}  // namespace

Result<std::vector<json::value>> parse_yaml_documents(std::string_view text, std::string_view what) {
  OJ_TRY(auto documents, read_documents(text, what, false));
  std::vector<json::value> out;
  for (auto& d : documents) out.push_back(std::move(d.value));
  return out;
}

Result<std::vector<LocatedDocument>> parse_located_yaml(std::string_view text, std::string_view what) {
  return read_documents(text, what, true);
}

Result<json::value> parse_yaml(std::string_view text, std::string_view what) {
  OJ_TRY(auto documents, parse_yaml_documents(text, what));
  if (documents.size() != 1)
    return fail(Errc::invalid_argument, "yaml.document_count",
                fmt::format("{}: expected one YAML document, found {}", what, documents.size()));
  return std::move(documents.front());
}

std::string to_yaml(const json::value& v) {
  std::string out;
  write(v, 0, false, out);
  out += '\n';
  return out;
}

}  // namespace oddjob
