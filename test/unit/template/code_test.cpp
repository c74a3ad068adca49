// No parameter where a program reads code.
#include <gtest/gtest.h>

#include "support.hpp"

namespace oddjob::templates {
namespace {

using Argv = std::vector<std::string>;

TEST(Code, AParameterIsRefusedWhereItWouldBeRun) {
  for (const auto& argv : std::vector<Argv>{
           {"${x}"},
           {"/bin/${x}"},
           {"sh", "-c", "echo ${x}"},
           {"sh", "-c", "${x}"},
           {"/bin/sh", "-c", "echo ${x}"},
           {"bash", "-lc", "echo ${x}"},
           {"bash", "-euo", "pipefail", "-c", "echo ${x}"},
           {"bash", "-o", "${x}", "-c", "true"},
           {"bash", "-c", "--", "echo ${x}"},
           {"bash", "-co", "pipefail", "echo ${x}"},
           {"fish", "-C", "true", "-c", "${x}"},
           {"sh", "-c", "exec \"$@\"", "sh", "bash", "-c", "${x}"},
           {"bash", "${x}"},
           {"sh", "-${x}", "true"},
           {"sh", "--", "${x}"},
           {"zsh", "-c", "${x}"},
           {"fish", "--command=${x}"},
           {"env", "sh", "-c", "${x}"},
           {"env", "${x}"},
           {"env", "-S", "${x}"},
           {"env", "-S${x}"},
           {"env", "A=1", "${x}"},
           {"env", "LD_PRELOAD=${x}", "ls"},
           {"nohup", "${x}"},
           {"nice", "-n", "5", "${x}"},
           {"xargs", "${x}"},
           {"timeout", "5", "sh", "-c", "${x}"},
           {"find", ".", "-exec", "sh", "-c", "${x}", ";"},
           {"busybox", "sh", "-c", "${x}"},
           {"busybox", "${x}"},
           {"python3", "-c", "print(${x})"},
           {"python3.11", "-c", "${x}"},
           {"python", "-m", "${x}"},
           {"python", "${x}"},
           {"perl", "-ne", "${x}"},
           {"perl", "-e", "1", "-e", "${x}"},
           {"ruby", "-e", "${x}"},
           {"ruby", "-r${x}", "a.rb"},
           {"node", "-e", "${x}"},
           {"node", "--eval=${x}"},
           {"node", "--eval", "${x}"},
           {"node", "-r", "${x}", "a.js"},
           {"node", "--require=${x}", "a.js"},
           {"node", "${x}.js"},
           {"bundle", "exec", "ruby", "-e", "${x}"},
           {"env", "node", "-e", "${x}"},
           {"php", "-r", "${x}"},
           {"awk", "{print ${x}}"},
           {"sed", "s/a/${x}/"},
           {"sed", "-e", "${x}"},
           {"eval", "${x}"},
           {"ssh", "host", "${x}"},
           {"su", "-c", "${x}"},
           {"watch", "${x}"},
           {"pwsh", "-File", "a.ps1", "${x}"},
       }) {
    const auto parsed = parse(with_command(argv));
    EXPECT_TRUE(has_errors(parsed.problems)) << ::testing::PrintToString(argv);
  }
}

TEST(Code, AnArgumentIsAnArgument) {
  for (const auto& argv : std::vector<Argv>{
           {"node", "scripts/backfill.js", "${x}"},
           {"node", "scripts/backfill.js", "-e", "${x}"},
           {"rake", "db:migrate[${x}]"},
           {"sh", "-c", "echo \"$1\"", "sh", "${x}"},
           {"bash", "-euo", "pipefail", "-c", "./run \"$1\"", "run", "${x}"},
           {"sh", "scripts/backfill.sh", "${x}", "-c", "${x}"},
           {"sh", "-c", "echo $${HOME}"},
           {"python", "-u", "manage.py", "${x}"},
           {"python3", "-m", "app.backfill", "--since=${x}"},
           {"python3", "-c", "import sys; print(sys.argv[1])", "${x}"},
           {"perl", "-ne", "print if /x/", "${x}"},
           {"env", "SINCE=${x}", "./run"},
           {"kubectl", "get", "node", "${x}"},
           {"kubectl", "exec", "${x}"},
           {"npm", "run", "watch", "${x}"},
           {"bin/rails", "runner", "scripts/a.rb", "${x}"},
           {"awk", "{print $1}", "${x}"},
           {"psql", "-v", "since=${x}", "-f", "a.sql"},
           {"shred", "${x}"},
       }) {
    const auto parsed = parse(with_command(argv));
    EXPECT_FALSE(has_errors(parsed.problems)) << ::testing::PrintToString(argv) << text_of(parsed.problems);
  }
}

TEST(Code, ANumberMayBeAnInterpretersOptionButNotAShells) {
  const Argv node{"node", "--max-old-space-size=${x}", "a.js"};
  EXPECT_FALSE(has_errors(parse(with_command(node, "integer")).problems));
  EXPECT_TRUE(has_errors(parse(with_command(node, "string")).problems));
  EXPECT_TRUE(has_errors(parse(with_command({"sh", "-c", "sleep ${x}"}, "integer")).problems));
  EXPECT_TRUE(has_errors(parse(with_command({"bash", "--init-file=${x}", "a"}, "integer")).problems));
}

TEST(Code, AStatementOfADatabaseIsAWarning) {
  for (const auto& argv : std::vector<Argv>{{"psql", "-c", "delete from a where b = ${x}"},
                                            {"psql", "mydb", "-c", "${x}"},
                                            {"psql", "--command=${x}"},
                                            {"mysql", "-e", "${x}"},
                                            {"mongosh", "--eval", "${x}"}}) {
    const auto parsed = parse(with_command(argv));
    EXPECT_FALSE(has_errors(parsed.problems)) << ::testing::PrintToString(argv) << text_of(parsed.problems);
    EXPECT_EQ(parsed.problems.size(), 1U) << ::testing::PrintToString(argv);
  }
}

}  // namespace
}  // namespace oddjob::templates
