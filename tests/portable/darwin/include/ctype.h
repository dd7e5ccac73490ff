/* ctype.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_CTYPE_H
#define STUB_CTYPE_H

int isalnum(int c);
int isalpha(int c);
int isdigit(int c);
int isprint(int c);
int isspace(int c);
int isupper(int c);
int islower(int c);
int tolower(int c);
int toupper(int c);

#endif
