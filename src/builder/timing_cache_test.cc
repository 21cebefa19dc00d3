#include "builder/timing_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cameo::builder {
namespace {

std::string file_with(const std::string& text) {
  const std::string path = testing::TempDir() + "/timing_cache_test.json";
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(TimingCache, KeepsWhatWasAdded) {
  const std::string path = testing::TempDir() + "/timing_cache_kept.json";
  std::filesystem::remove(path);
  auto cache = TimingCache::load(path);
  ASSERT_TRUE(cache.ok());
  EXPECT_FALSE(cache->changed());
  EXPECT_EQ(cache->find("here", "p"), nullptr);
  cache->add("here", "p", "fast", 12.3456f);
  cache->add("here", "p", "broken", -1);
  cache->add("there", "p", "fast", 99);
  EXPECT_TRUE(cache->changed());
  ASSERT_TRUE(cache->save(path).ok());
  auto again = TimingCache::load(path);
  ASSERT_TRUE(again.ok()) << again.error().message();
  for (const TimingCache* c : {&*cache, &*again}) {
    const TimingCache::Times* times = c->find("here", "p");
    ASSERT_NE(times, nullptr);
    EXPECT_EQ(times->size(), 2u);
    EXPECT_EQ(times->at("fast"), round_time(12.3456));
    EXPECT_EQ(times->at("broken"), -1);
  }
  EXPECT_EQ(again->find("there", "p")->at("fast"), 99);
  EXPECT_EQ(again->find("here", "q"), nullptr);
}

TEST(TimingCache, DamagedFilesAreErrors) {
  for (const char* text :
       {"", "{", "[]", "null", "\xff\xfe", "{\"format\": \"cameo timing cache\"}", "{\"format\": \"cameo timing cache\", \"version\": 2}",
        "{\"format\": \"cameo timing cache\", \"version\": 1, \"machines\": []}",
        "{\"format\": \"cameo timing cache\", \"version\": 1, \"machines\": {\"m\": 5}}",
        "{\"format\": \"cameo timing cache\", \"version\": 1, \"machines\": {\"m\": {\"p\": []}}}",
        "{\"format\": \"cameo timing cache\", \"version\": 1, \"machines\": {\"m\": {\"p\": {\"t\": \"fast\"}}}}",
        "{\"format\": \"cameo timing cache\", \"version\": 1, \"machines\": {\"m\": {\"p\": {\"t\": 1e99}}}}"}) {
    const std::string path = file_with(text);
    const auto cache = TimingCache::load(path);
    ASSERT_FALSE(cache.ok()) << text;
    EXPECT_EQ(cache.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(cache.error().message().find(path), std::string::npos);
    EXPECT_NE(cache.error().message().find("delete the file"), std::string::npos);
  }
  EXPECT_FALSE(TimingCache::load(testing::TempDir()).ok());
}

}  // namespace
}  // namespace cameo::builder
