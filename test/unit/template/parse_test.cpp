// What is a template, and what is wrong with one that is not.
#include <gtest/gtest.h>

#include <functional>

#include "support.hpp"

namespace oddjob::templates {
namespace {

using namespace std::chrono_literals;

TEST(Parse, AGoodTemplateIsReadWhole) {
  const auto parsed = parse(yaml(kGood));
  EXPECT_EQ(text_of(parsed.problems), "");
  const auto& t = parsed.value;
  EXPECT_EQ(t.name_space, "prod");
  EXPECT_EQ(t.name, "backfill");
  EXPECT_EQ(t.uid, "u-1");
  EXPECT_EQ(t.generation, 3);
  EXPECT_EQ(to_string(t.workload), "deploy/payments");
  EXPECT_EQ(t.workload.name_space, "prod");
  EXPECT_EQ(t.argv.size(), 8U);
  EXPECT_EQ(t.timeout, 30min);
  EXPECT_EQ(t.retries, 1);
  ASSERT_EQ(t.parameters.size(), 6U);
  EXPECT_EQ(t.parameter("batch")->fallback, "100");
  EXPECT_EQ(t.parameter("since")->fallback, std::nullopt);
  EXPECT_EQ(t.parameter("nothing"), nullptr);
  EXPECT_TRUE(t.digest.starts_with("sha256:"));
}

TEST(Parse, AFileWithoutNamespaceHasTheOneThatIsGiven) {
  auto v = yaml(kGood);
  erase(v, {"metadata", "namespace"});
  EXPECT_EQ(parse(v).value.name_space, "default");
  EXPECT_EQ(parse(v, "staging").value.name_space, "staging");
}

// A change of the good template, and the problem it makes.
struct Bad {
  std::string path;         // of the change: "spec.timeout"; list elements by number
  std::string_view value;   // YAML; "-" removes the field
  std::string where, what;  // of the problem
};

json::value* at(json::value& v, std::string_view path, std::string* last) {
  json::value* here = &v;
  for (;;) {
    const auto dot = path.find('.');
    const auto step = path.substr(0, dot);
    if (dot == std::string_view::npos) {
      *last = std::string(step);
      return here;
    }
    here =
        here->is_array() ? &here->get_array().at(std::stoul(std::string(step))) : &here->get_object()[step];
    path.remove_prefix(dot + 1);
  }
}

json::value changed(std::string_view path, std::string_view value) {
  auto v = yaml(kGood);
  std::string last;
  auto* parent = at(v, path, &last);
  if (value == "-")
    parent->get_object().erase(last);
  else if (parent->is_array())
    parent->get_array().at(std::stoul(last)) = yaml(value);
  else
    parent->get_object()[last] = yaml(value);
  return v;
}

TEST(Parse, EachMistakeIsNamedWithItsPlace) {
  const std::vector<Bad> table = {
      {"apiVersion", "v1", "apiVersion", "oddjob.dev/v1alpha1"},
      {"kind", "Job", "kind", "JobTemplate"},
      {"metadata.name", "Bad_Name", "metadata.name", "name"},
      {"extra", "1", "extra", "no such field"},
      {"spec", "[]", "spec", "object"},
      {"spec", "-", "spec", "required"},
      {"spec.commands", "[a]", "spec.commands", "did you mean 'command'"},
      {"spec.description", "5", "spec.description", "in quotes"},
      {"spec.workloadRef", "-", "spec.workloadRef", "required"},
      {"spec.workloadRef.kind", "Job", "spec.workloadRef.kind", "CronJob"},
      {"spec.workloadRef.name", "-", "spec.workloadRef.name", "required"},
      {"spec.workloadRef.name", "A B", "spec.workloadRef.name", "workload"},
      {"spec.workloadRef.namespace", "other", "spec.workloadRef.namespace", "no such field"},
      {"spec.command", "-", "spec.command", "required"},
      {"spec.command", "[]", "spec.command", "required"},
      {"spec.command", "node x", "spec.command", "list"},
      {"spec.command", "['']", "spec.command[0]", "empty"},
      {"spec.command", "[node, 5]", "spec.command[1]", "\"5\" in quotes"},
      {"spec.command", "['${region}']", "spec.command[0]", "program"},
      {"spec.args.1", "'${sinc}'", "spec.args[1]", "no parameter 'sinc'"},
      {"spec.args.1", "'${since'", "spec.args[1]", "not closed"},
      {"spec.args.1", "'${Since}'", "spec.args[1]", "not the name of a parameter"},
      {"spec.args.1", "'${since:-now}'", "spec.args[1]", "not the name of a parameter"},
      {"spec.parameters", "{a: b}", "spec.parameters", "list"},
      {"spec.parameters.0", "since", "spec.parameters[0]", "object"},
      {"spec.parameters.0.name", "Since", "spec.parameters[0].name", "lower-case"},
      {"spec.parameters.1.name", "since", "spec.parameters[1].name", "another"},
      {"spec.parameters.0.name", "api-token", "spec.parameters[0].name", "Secret"},
      {"spec.parameters.0.type", "-", "spec.parameters[0].type", "required"},
      {"spec.parameters.0.type", "secret", "spec.parameters[0].type", "one of string, integer"},
      {"spec.parameters.0.secret", "true", "spec.parameters[0].secret", "no such field"},
      {"spec.parameters.0.min", "soon", "spec.parameters[0].min", "no date"},
      {"spec.parameters.0.min", "'2031-01-01'", "spec.parameters[0].min", "more than max"},
      {"spec.parameters.0.default", "'2019-12-31'", "spec.parameters[0].default", "from 2020-01-01 to"},
      {"spec.parameters.0.default", "'2021-02-29'", "spec.parameters[0].default", "a day"},
      {"spec.parameters.0.values", "[a]", "spec.parameters[0].values", "enum only"},
      {"spec.parameters.0.pattern", "x", "spec.parameters[0].pattern", "string only"},
      {"spec.parameters.0.required", "false", "spec.parameters[0].default", "needs a default"},
      {"spec.parameters.1.required", "true", "spec.parameters[1].required", "default is not required"},
      {"spec.parameters.1.required", "'yes'", "spec.parameters[1].required", "true or false"},
      {"spec.parameters.1.default", "1001", "spec.parameters[1].default", "from 1 to 1000"},
      {"spec.parameters.1.default", "1.5", "spec.parameters[1].default", "in quotes"},
      {"spec.parameters.1.default", "true", "spec.parameters[1].default", "in quotes"},
      {"spec.parameters.1.default", "'007'", "spec.parameters[1].default", "whole number"},
      {"spec.parameters.1.min", "many", "spec.parameters[1].min", "no integer"},
      {"spec.parameters.2.values", "-", "spec.parameters[2].values", "at least one"},
      {"spec.parameters.2.values", "[eu, eu]", "spec.parameters[2].values", "twice"},
      {"spec.parameters.2.default", "asia", "spec.parameters[2].default", "one of eu, us"},
      {"spec.parameters.2.min", "1", "spec.parameters[2].min", "only"},
      {"spec.parameters.3.pattern", "'('", "spec.parameters[3].pattern", "RE2"},
      {"spec.parameters.3.pattern", "'(?=a)'", "spec.parameters[3].pattern", "RE2"},
      {"spec.parameters.3.default", "'A'", "spec.parameters[3].default", "pattern"},
      {"spec.parameters.3.minLength", "30", "spec.parameters[3].minLength", "more than maxLength"},
      {"spec.parameters.3.maxLength", "-1", "spec.parameters[3].maxLength", "whole number"},
      {"spec.parameters.4.default", "'yes'", "spec.parameters[4].default", "true or false"},
      {"spec.parameters.5.default", "2h", "spec.parameters[5].default", "from 1s to 1h"},
      {"spec.env.0.name", "'A B'", "spec.env[0].name", "environment variable"},
      {"spec.env.0.value", "-", "spec.env[0].value", "required"},
      {"spec.env.0.valueFrom", "{}", "spec.env[0].valueFrom", "no such field"},
      {"spec.env.0.value", "'${nope}'", "spec.env[0].value", "no parameter 'nope'"},
      {"spec.env.0.name", "LD_PRELOAD", "spec.env[0].value", "load or run"},
      {"spec.env.0.name", "PATH", "spec.env[0].value", "load or run"},
      {"spec.env", "[{name: A, value: x}, {name: A, value: y}]", "spec.env[1].name", "another variable"},
      {"spec.container", "'A b'", "spec.container", "container"},
      {"spec.serviceAccountName", "'A b'", "spec.serviceAccountName", "service account"},
      {"spec.resources", "{limits: {cpu: 1}}", "spec.resources.limits", "no such field"},
      {"spec.resources", "{cpu: lots}", "spec.resources.cpu", "quantity"},
      {"spec.resources", "{memory: 0}", "spec.resources.memory", "quantity"},
      {"spec.timeout", "30", "spec.timeout", "in quotes"},
      {"spec.timeout", "'30'", "spec.timeout", "duration"},
      {"spec.timeout", "1500ms", "spec.timeout", "duration"},
      {"spec.timeout", "400d", "spec.timeout", "duration"},
      {"spec.retries", "11", "spec.retries", "0 to 10"},
      {"spec.sidecars", "stop", "spec.sidecars", "drop, native or keep"},
      {"spec.initContainers", "no", "spec.initContainers", "run or skip"},
      {"spec.approvals", "-1", "spec.approvals", "0 to 10"},
      {"spec.approvals", "required", "spec.approvals", "whole number"},
      {"spec.allowedTeams", "[]", "spec.allowedTeams", "leave it out"},
      {"spec.allowedTeams", "[' ']", "spec.allowedTeams[0]", "empty"},
      {"spec.allowedUsers", "ann", "spec.allowedUsers", "list"},
  };
  for (const auto& row : table) {
    const auto parsed = parse(changed(row.path, row.value));
    const auto found = std::ranges::find_if(parsed.problems, [&](const Problem& p) {
      return !p.warning && p.path == row.where && p.message.find(row.what) != std::string::npos;
    });
    EXPECT_NE(found, parsed.problems.end()) << row.path << " = " << row.value << " says\n"
                                            << text_of(parsed.problems);
    const auto r = read(changed(row.path, row.value));
    ASSERT_FALSE(r) << row.path;
    EXPECT_EQ(r.error().code, "template.invalid");
  }
}

TEST(Parse, WhatIsAllowed) {
  for (const auto& [path, value] : std::vector<std::pair<std::string, std::string_view>>{
           {"spec.workloadRef.kind", "-"},
           {"spec.workloadRef.kind", "CronJob"},
           {"spec.parameters.0.required", "true"},
           {"spec.parameters.1.required", "false"},
           {"spec.parameters.1.default", "'7'"},
           {"spec.parameters.1.min", "'-5'"},
           {"spec.parameters.0.name", "since"},
           {"spec.args.1", "'$${HOME} ${since} $(DATE) $5 $'"},
           {"spec.env.0.name", "my.setting"},
           {"spec.resources", "{cpu: 500m, memory: 1Gi}"},
           {"spec.resources", "{cpu: 2}"},
           {"spec.timeout", "2d"},
           {"spec.approvals", "2"},
           {"spec.allowedTeams", "['*']"},
           {"status", "{conditions: [x]}"},
       }) {
    const auto parsed = parse(changed(path, value));
    EXPECT_FALSE(has_errors(parsed.problems)) << path << "\n" << text_of(parsed.problems);
  }
}

TEST(Parse, AParameterThatNobodyUsesIsAWarning) {
  const auto parsed = parse(changed("spec.args.1", "x"));
  ASSERT_EQ(parsed.problems.size(), 1U) << text_of(parsed.problems);
  EXPECT_TRUE(parsed.problems[0].warning);
  EXPECT_EQ(parsed.problems[0].path, "spec.parameters[0]");
  EXPECT_TRUE(read(changed("spec.args.1", "x")));
}

TEST(Parse, SizesAreBounded) {
  const auto too_many = [](std::string_view field, std::size_t n, const json::value& item) {
    auto v = yaml(kGood);
    ensure(v, {"spec"}).get_object()[field] = json::array(n, item);
    return has_errors(parse(v).problems);
  };
  EXPECT_TRUE(too_many("args", kMaxArgs + 1, "x"));
  EXPECT_TRUE(too_many("command", kMaxCommand + 1, "x"));
  EXPECT_TRUE(too_many("allowedTeams", kMaxWho + 1, "x"));
  EXPECT_TRUE(too_many("args", 1, json::string(kMaxElement + 1, 'x')));
  EXPECT_TRUE(too_many("parameters", kMaxParameters + 1, json::object{}));
  EXPECT_TRUE(
      has_errors(parse(changed("spec.parameters.3.pattern", std::string(kMaxPattern + 1, 'x'))).problems));
  // Nothing is so wrong that the list of problems has no end.
  auto v = yaml(kGood);
  for (int i = 0; i < 1000; ++i) v.at("spec").get_object()["x" + std::to_string(i)] = 1;
  EXPECT_LE(parse(v).problems.size(), 100U);
}

TEST(Parse, AnythingAtAllIsAnError) {
  for (const auto* text : {"null", "5", "[]", "x", "{}", "{spec: 5}", "{spec: {command: {a: b}}}",
                           "{spec: {parameters: [[]], env: [1], resources: [], workloadRef: []}}"})
    EXPECT_TRUE(has_errors(parse(yaml(std::string("[") + text + "]").at(0)).problems)) << text;
}

TEST(Digest, IsTheSameWhateverTheOrderOfKeysAndTheSpelling) {
  const auto base = good().digest;
  // Keys of every object reversed, recursively.
  const std::function<json::value(const json::value&)> reversed = [&](const json::value& v) -> json::value {
    if (v.is_array()) {
      json::array out;
      for (const auto& item : v.get_array()) out.push_back(reversed(item));
      return out;
    }
    if (!v.is_object()) return v;
    std::vector<std::pair<std::string, json::value>> members;
    for (const auto& [key, value] : v.get_object()) members.emplace_back(key, reversed(value));
    json::object out;
    for (auto it = members.rbegin(); it != members.rend(); ++it) out[it->first] = it->second;
    return out;
  };
  EXPECT_EQ(read(reversed(yaml(kGood)))->digest, base);
  for (const auto& [path, value] : std::vector<std::pair<std::string, std::string_view>>{
           {"metadata.uid", "other"},
           {"metadata.generation", "9"},
           {"metadata.labels", "{a: b}"},
           {"status", "{x: y}"},
           {"spec.description", "Other words."},
           {"spec.parameters.0.description", "-"},
           {"spec.parameters.0.required", "true"},
           {"spec.parameters.1.default", "'100'"},
           {"spec.parameters.1.max", "'1000'"},
           {"spec.workloadRef.kind", "-"},
           {"spec.timeout", "1800s"},
           {"spec.approvals", "0"},
       })
    EXPECT_EQ(read(changed(path, value)).value().digest, base) << path;
}

TEST(Digest, ChangesWithEveryFieldThatMatters) {
  std::set<std::string> seen{good().digest};
  for (const auto& [path, value] : std::vector<std::pair<std::string, std::string_view>>{
           {"spec.workloadRef.kind", "CronJob"},
           {"spec.workloadRef.name", "orders"},
           {"spec.command.1", "scripts/other.js"},
           {"spec.args.0", "--from"},
           {"spec.args.2", "'--size=${batch}'"},
           {"spec.parameters.0.min", "'2021-01-01'"},
           {"spec.parameters.0.max", "'2029-01-01'"},
           {"spec.parameters.0.min", "-"},
           {"spec.parameters.0.default", "'2022-01-01'"},
           {"spec.parameters.1.default", "101"},
           {"spec.parameters.1.max", "2000"},
           {"spec.parameters.2.values", "[eu, us, asia]"},
           {"spec.parameters.3.pattern", "'[a-z]*'"},
           {"spec.parameters.3.minLength", "0"},
           {"spec.parameters.3.maxLength", "30"},
           {"spec.parameters.4.default", "'false'"},
           {"spec.parameters.5.type", "string"},
           {"spec.env.0.name", "AREA"},
           {"spec.env.0.value", "eu"},
           {"spec.container", "app"},
           {"spec.resources", "{cpu: 1}"},
           {"spec.resources", "{memory: 1Gi}"},
           {"spec.timeout", "31m"},
           {"spec.retries", "2"},
           {"spec.serviceAccountName", "batch"},
           {"spec.sidecars", "keep"},
           {"spec.initContainers", "skip"},
           {"spec.allowedTeams", "[a]"},
           {"spec.allowedUsers", "[a]"},
           {"spec.approvals", "1"},
       })
    EXPECT_TRUE(seen.insert(parse(changed(path, value)).value.digest).second) << path << " = " << value;
}

TEST(Json, AllOfItIsShown) {
  const auto shown = to_json(good());
  for (const auto* key : {"namespace", "name", "uid", "generation", "digest", "description", "workload",
                          "command", "parameters", "env", "timeout", "retries"})
    EXPECT_TRUE(shown.contains(key)) << key;
  EXPECT_EQ(shown.at("parameters").at(0).at("required"), true);
  EXPECT_EQ(shown.at("parameters").at(0).at("description"), "First day");
}

}  // namespace
}  // namespace oddjob::templates
