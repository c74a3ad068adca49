// Hashes and encodings against published vectors.
#include "core/digest.hpp"

#include <gtest/gtest.h>

#include <set>

namespace oddjob {
namespace {

TEST(Sha256, GivesThePublishedVectors) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_NE(sha256_hex(std::string_view("a\0b", 3)), sha256_hex("a"));
}

TEST(Base64, GivesThePublishedVectorsBothWays) {  // RFC 4648 section 10
  for (const auto& [plain, coded] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(base64_encode(plain), coded);
    EXPECT_EQ(base64_decode(coded).value(), plain);
    std::string bare(coded.substr(0, coded.find('=')));
    EXPECT_EQ(base64url_encode(plain), bare);
    EXPECT_EQ(base64_decode(bare).value(), plain);
  }
}

TEST(Base64, TakesEitherAlphabetAndWhiteSpace) {
  const std::string bytes("\xfb\xff\xbf\x00\x01", 5);
  EXPECT_EQ(base64_decode("+/+/AAE=").value(), bytes);
  EXPECT_EQ(base64_decode("-_-_AAE").value(), bytes);
  EXPECT_EQ(base64_decode(" +/+/\r\n\tAA E= ").value(), bytes);
  EXPECT_EQ(base64url_encode(bytes), "-_-_AAE");
}

TEST(Base64, RefusesWhatIsNone) {
  for (const std::string_view bad :
       {"A", "AAAAA", "A===", "=", "Zg=x", "Z!==", "Zm9v=Zm9v", "\xff\xff\xff\xff"}) {
    const auto v = base64_decode(bad);
    ASSERT_FALSE(v) << bad;
    EXPECT_EQ(v.error().code, "base64.malformed");
  }
}

TEST(Base64, AnyBytesComeBack) {
  for (std::size_t n = 0; n < 200; ++n) {
    const auto bytes = random_bytes(n);
    ASSERT_EQ(base64_decode(base64_encode(bytes)).value(), bytes);
    ASSERT_EQ(base64_decode(base64url_encode(bytes)).value(), bytes);
  }
}

TEST(Hex, IsLowerCaseAndTwoDigitsAByte) {
  EXPECT_EQ(hex_encode(std::string_view("\x00\x0f\xff", 3)), "000fff");
}

TEST(EqualConstantTime, ComparesAsEqualityDoes) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "ab"));
}

TEST(RandomBytes, AreAsManyAsAskedAndNeverTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto b = random_bytes(16);
    ASSERT_EQ(b.size(), 16U);
    ASSERT_TRUE(seen.insert(b).second);
  }
  // More than the kernel gives at once, all of it random.
  for (const std::size_t n : {0U, 1U, 255U, 256U, 257U, 1000U}) {
    const auto b = random_bytes(n);
    ASSERT_EQ(b.size(), n);
    for (std::size_t at = 0; at + 16 <= n; at += 16) ASSERT_TRUE(seen.insert(b.substr(at, 16)).second);
  }
}

}  // namespace
}  // namespace oddjob
