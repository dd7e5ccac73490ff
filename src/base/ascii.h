/* ascii.h: what a byte is worth as a digit, whatever the locale. */
#ifndef ST_BASE_ASCII_H
#define ST_BASE_ASCII_H

/* 0 to 15, -1: no hexadecimal digit. */
static inline int st_hex_digit(char c)
{
    char low = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

#endif
