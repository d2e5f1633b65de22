#include "dataplane/rules/trie_builder.h"
