-- Stand-in of the rehearsal: the functions of uuid-ossp, written in SQL for a server without its library.

CREATE FUNCTION uuid_nil() RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;
CREATE FUNCTION uuid_ns_dns() RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
CREATE FUNCTION uuid_ns_url() RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
CREATE FUNCTION uuid_ns_oid() RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
CREATE FUNCTION uuid_ns_x500() RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid $$;

CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS
    $$ SELECT pg_catalog.gen_random_uuid() $$;

-- Time in steps of 100 ns since 1582-10-15, then random node and clock sequence with the multicast bit set.
CREATE FUNCTION uuid_generate_v1mc() RETURNS uuid LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $body$
DECLARE
    ticks bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 10 + 122192928000000000;
    value bytea := decode(replace(pg_catalog.gen_random_uuid()::text, '-', ''), 'hex');
    stamp bytea := int8send(ticks);
BEGIN
    value := substr(stamp, 5, 4) || substr(stamp, 3, 2) || substr(stamp, 1, 2) || substr(value, 9, 8);
    value := set_byte(value, 6, (get_byte(value, 6) & 15) | 16);
    value := set_byte(value, 10, get_byte(value, 10) | 1);
    RETURN encode(value, 'hex')::uuid;
END
$body$;
CREATE FUNCTION uuid_generate_v1() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS
    $$ SELECT @extschema@.uuid_generate_v1mc() $$;

CREATE FUNCTION uuid_ossp_from_hash(hash bytea, version int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT encode(set_byte(set_byte(substr(hash, 1, 16), 6, (get_byte(hash, 6) & 15) | (version << 4)),
                              8, (get_byte(hash, 8) & 63) | 128), 'hex')::uuid $$;
CREATE FUNCTION uuid_generate_v3(namespace uuid, name text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT @extschema@.uuid_ossp_from_hash(
        decode(md5(uuid_send(namespace) || convert_to(name, 'UTF8')), 'hex'), 3) $$;

CREATE FUNCTION uuid_ossp_sha1(message bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $sha1$
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

CREATE FUNCTION uuid_generate_v5(namespace uuid, name text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT @extschema@.uuid_ossp_from_hash(
        @extschema@.uuid_ossp_sha1(uuid_send(namespace) || convert_to(name, 'UTF8')), 5) $$;
