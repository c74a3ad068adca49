#include "core/checkpoint.hpp"

#include <gtest/gtest.h>

#include "core/audit.hpp"
#include "core/digest.hpp"

namespace oddjob {
namespace {

// Made for these tests by `openssl genpkey -algorithm ed25519`.
constexpr std::string_view kKey = R"(-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIF+u3NWl5p4O0ugEzYANdQlQ5ra4ISoOaf6bXdcHtwmw
-----END PRIVATE KEY-----
)";
constexpr std::string_view kPublic = R"(-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEARRW4Yh8LMU8gHJNoaXjKAHEW3JXtZ5sb+YOyKaM/E4E=
-----END PUBLIC KEY-----
)";
constexpr std::string_view kOther = R"(-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAWIZSX9i6IYW4pSkfDWRr5xEa3721tNWdv5SeoINUY8Q=
-----END PUBLIC KEY-----
)";

Checkpoint some() {
  return {{}, 42, sha256_hex("the last record"), parse_time("2026-03-04T05:06:07Z").value()};
}

std::string signed_note() {
  return CheckpointSigner::from_pem(kKey, "oddjob.example.org", "key")->sign(some());
}

TEST(Checkpoint, SaysWhatWasSigned) {
  const auto note = signed_note();
  EXPECT_TRUE(note.starts_with("oddjob.example.org\n42\n")) << note;
  const auto c = open_checkpoint(note, kPublic);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->origin, "oddjob.example.org");
  EXPECT_EQ(c->records, 42);
  EXPECT_EQ(c->hash, some().hash);
  EXPECT_EQ(c->time, some().time);
}

TEST(Checkpoint, IsTheSignedNoteThatOthersRead) {
  // golang.org/x/mod/sumdb/note opens this with the verifier key
  // oddjob.example.org+a11f0836+AUUVuGIfCzFPIByTaGl4ygBxFtyV7WebG/mDsimjPxOB
  EXPECT_EQ(signed_note(), R"(oddjob.example.org
42
rf8aOkMfpxFPF5iFdnA4me7N1iTHLzI/0pUapRWM9sM=
time 2026-03-04T05:06:07Z

— oddjob.example.org oR8INtZCWabf4KaUNc4rP6M8rFWgrSxiO60d9aS30lPy1kXIwv4B6sCcJFElHCsb4mOkUc7wnK4EXQ3mRxE/wAfJ/Q4=
)");
}

TEST(Checkpoint, EveryByteOfItCounts) {
  const auto note = signed_note();
  for (std::size_t i = 0; i < note.size(); ++i) {
    auto altered = note;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    const auto c = open_checkpoint(altered, kPublic);
    // The last letter of a base64 text has bits that stand for nothing.
    EXPECT_TRUE(!c || i + 4 >= note.size()) << "byte " << i << " of\n" << altered;
  }
}

TEST(Checkpoint, IsRefusedWithAnotherKeyOrNone) {
  EXPECT_EQ(open_checkpoint(signed_note(), kOther).error().code, "checkpoint.not_signed");
  EXPECT_EQ(open_checkpoint(signed_note(), "").error().code, "checkpoint.bad_key");
  EXPECT_EQ(open_checkpoint(signed_note(), kKey).error().code, "checkpoint.bad_key");
}

TEST(Checkpoint, WhatIsNoneIsNamed) {
  for (const std::string_view note :
       {"", "x", "a\n1\n\n", "a\nb\nc\n\n— a AAAA\n", "a\n-1\nAAAA\n\n— a AAAA\n"}) {
    const auto c = open_checkpoint(note, kPublic);
    ASSERT_FALSE(c) << note;
    EXPECT_EQ(c.error().code, "checkpoint.malformed") << note;
  }
  EXPECT_EQ(open_checkpoint(std::string(20000, 'x'), kPublic).error().code, "checkpoint.malformed");
  EXPECT_EQ(open_checkpoint(signed_note() + "and more\n", kPublic).error().code, "checkpoint.malformed");
}

TEST(Checkpoint, KeysAndNamesThatAreNoneAreRefused) {
  EXPECT_EQ(CheckpointSigner::from_pem("", "a", "key.pem").error().code, "checkpoint.bad_key");
  EXPECT_EQ(CheckpointSigner::from_pem(kPublic, "a", "key.pem").error().code, "checkpoint.bad_key");
  EXPECT_NE(CheckpointSigner::from_pem("", "a", "key.pem").error().message.find("key.pem"),
            std::string::npos);
  for (const auto* origin : {"", "a b", "a+b", "a\nb", "a\x01"})
    EXPECT_EQ(CheckpointSigner::from_pem(kKey, origin, "key.pem").error().code, "checkpoint.bad_origin")
        << origin;
}

}  // namespace
}  // namespace oddjob
