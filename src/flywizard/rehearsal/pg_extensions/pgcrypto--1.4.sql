-- Stand-in of the rehearsal: what projects use most of pgcrypto, written in SQL for a server without its library.
-- Digests are right; crypt() is consistent with itself only. Encryption (pgp_*, encrypt, decrypt) is not there.

CREATE FUNCTION gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS
    $$ SELECT pg_catalog.gen_random_uuid() $$;

CREATE FUNCTION gen_random_bytes(count int) RETURNS bytea LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE AS $body$
DECLARE
    value bytea := ''::bytea;
BEGIN
    IF count < 1 OR count > 1024 THEN
        RAISE EXCEPTION 'Length not in range';
    END IF;
    WHILE length(value) < count LOOP
        value := value || sha256(uuid_send(pg_catalog.gen_random_uuid()) || uuid_send(pg_catalog.gen_random_uuid()));
    END LOOP;
    RETURN substr(value, 1, count);
END
$body$;

CREATE FUNCTION pgcrypto_sha1(message bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $sha1$
DECLARE
    full_bits CONSTANT bigint := 4294967295;
    padded bytea;
    h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    w bigint[];
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; next bigint; x bigint;
    block int; i int;
BEGIN
    padded := message || '\x80'::bytea;
    WHILE length(padded) % 64 <> 56 LOOP
        padded := padded || '\x00'::bytea;
    END LOOP;
    padded := padded || int8send(length(message)::bigint * 8);
    FOR block IN 0 .. length(padded) / 64 - 1 LOOP
        w := ARRAY[]::bigint[];
        FOR i IN 0 .. 15 LOOP
            w[i] := (get_byte(padded, block * 64 + i * 4)::bigint << 24)
                | (get_byte(padded, block * 64 + i * 4 + 1)::bigint << 16)
                | (get_byte(padded, block * 64 + i * 4 + 2)::bigint << 8)
                | get_byte(padded, block * 64 + i * 4 + 3)::bigint;
        END LOOP;
        FOR i IN 16 .. 79 LOOP
            x := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
            w[i] := ((x << 1) | (x >> 31)) & full_bits;
        END LOOP;
        a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
        FOR i IN 0 .. 79 LOOP
            IF i < 20 THEN
                f := (b & c) | ((full_bits - b) & d); k := 1518500249;
            ELSIF i < 40 THEN
                f := b # c # d; k := 1859775393;
            ELSIF i < 60 THEN
                f := (b & c) | (b & d) | (c & d); k := 2400959708;
            ELSE
                f := b # c # d; k := 3395469782;
            END IF;
            next := ((((a << 5) | (a >> 27)) & full_bits) + f + e + k + w[i]) & full_bits;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & full_bits; b := a; a := next;
        END LOOP;
        h := ARRAY[(h[1] + a) & full_bits, (h[2] + b) & full_bits, (h[3] + c) & full_bits,
                   (h[4] + d) & full_bits, (h[5] + e) & full_bits];
    END LOOP;
    RETURN substr(int8send(h[1]), 5) || substr(int8send(h[2]), 5) || substr(int8send(h[3]), 5)
        || substr(int8send(h[4]), 5) || substr(int8send(h[5]), 5);
END
$sha1$;

CREATE FUNCTION digest(data bytea, kind text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
    RETURN CASE lower(kind)
        WHEN 'md5' THEN decode(md5(data), 'hex')
        WHEN 'sha1' THEN @extschema@.pgcrypto_sha1(data)
        WHEN 'sha224' THEN sha224(data)
        WHEN 'sha256' THEN sha256(data)
        WHEN 'sha384' THEN sha384(data)
        WHEN 'sha512' THEN sha512(data)
    END;
END
$body$;
CREATE FUNCTION digest(data text, kind text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT @extschema@.digest(convert_to(data, 'UTF8'), kind) $$;

CREATE FUNCTION pgcrypto_masked(data bytea, mask int) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
    FOR i IN 0 .. length(data) - 1 LOOP
        data := set_byte(data, i, get_byte(data, i) # mask);
    END LOOP;
    RETURN data;
END
$body$;
CREATE FUNCTION hmac(data bytea, key bytea, kind text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    size int := CASE WHEN lower(kind) IN ('sha384', 'sha512') THEN 128 ELSE 64 END;
    padded bytea := key;
BEGIN
    IF length(padded) > size THEN
        padded := @extschema@.digest(padded, kind);
    END IF;
    WHILE length(padded) < size LOOP
        padded := padded || '\x00'::bytea;
    END LOOP;
    RETURN @extschema@.digest(@extschema@.pgcrypto_masked(padded, 92)
        || @extschema@.digest(@extschema@.pgcrypto_masked(padded, 54) || data, kind), kind);
END
$body$;
CREATE FUNCTION hmac(data text, key text, kind text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT @extschema@.hmac(convert_to(data, 'UTF8'), convert_to(key, 'UTF8'), kind) $$;

CREATE FUNCTION gen_salt(kind text) RETURNS text LANGUAGE sql VOLATILE STRICT PARALLEL SAFE AS
    $$ SELECT '$rehearsal$' || encode(@extschema@.gen_random_bytes(12), 'hex') $$;
CREATE FUNCTION gen_salt(kind text, rounds int) RETURNS text LANGUAGE sql VOLATILE STRICT PARALLEL SAFE AS
    $$ SELECT @extschema@.gen_salt(kind) $$;
CREATE FUNCTION crypt(password text, salt text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT substr(salt, 1, 35) || '$' || encode(sha256(convert_to(substr(salt, 1, 35) || password, 'UTF8')), 'hex') $$;
