// Horspool's string search for words in 256 KiB of made-up text, then a plain count of each byte: byte loads and compares.
#include "kernel.h"

#include <string.h>

enum { kBytes = 262144, kWords = 8 };
static char text[kBytes];
static const char *const words[kWords] = {"lyre", "quetzal", "the quick", "aaaa", "zebra finch", "e t", "mimicry", "superb bird"};

static uint32_t count_word(const char *word) {
    uint32_t length = (uint32_t)strlen(word), found = 0;
    uint8_t skip[256];
    memset(skip, (int)length, sizeof skip);
    for (uint32_t i = 0; i + 1 < length; i++) skip[(uint8_t)word[i]] = (uint8_t)(length - 1 - i);
    for (uint32_t at = 0; at + length <= kBytes;) {
        uint32_t i = length;
        while (i > 0 && text[at + i - 1] == word[i - 1]) i--;
        found += i == 0;
        at += skip[(uint8_t)text[at + length - 1]];
    }
    return found;
}

static void setup(void) {
    static const char letters[] = "etaoin shrdlu cmfwyp vbgkqjxz aeiou ";
    uint64_t seed = 4;
    for (int i = 0; i < kBytes; i++) text[i] = letters[next_random(&seed) % (sizeof letters - 1)];
    for (int i = 1000; i + 20 < kBytes; i += 5003) {
        const char *word = words[next_random(&seed) % kWords];
        memcpy(text + i, word, strlen(word));
    }
}

static uint64_t run(uint32_t repeat) {
    uint64_t sum = 0;
    while (repeat--) {
        text[repeat % kBytes] = (char)('a' + (sum & 15));
        for (int i = 0; i < kWords; i++) sum = mix(sum, count_word(words[i]));
        uint32_t histogram[256] = {0};
        for (int i = 0; i < kBytes; i++) histogram[(uint8_t)text[i]]++;
        for (int i = 'a'; i <= 'z'; i++) sum = mix(sum, histogram[i]);
    }
    return sum;
}

const Kernel kernel_search = {"search", setup, run};
