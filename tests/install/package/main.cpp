// main.cpp: the header as C++ sees it.
#include <strata.h>

#include <cstring>
#include <iostream>

int main()
{
    strata_model *m = nullptr;
    strata_error e{};
    strata_gen_opts g = strata_gen_default();
    if (strata_model_open("/nonexistent.gguf", nullptr, &m, &e) != STRATA_IO || g.top_k != 40) return 1;
    if (std::strcmp(strata_version(), STRATA_VERSION) != 0) return 1;
    std::cout << strata_version() << '\n';
}
